"""Weights are as large as sums of 16 bits allow, and no larger."""

import itertools
import json
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from edgetl.devices.facts import machine
from edgetl.quantize.graph import layers_of
from edgetl.quantize.rounding import input_products, round_weights, weight_scales
from edgetl.quantize.widths import Width, full_width, paired_width
from edgetl.runs.quiet import quiet

RNG = torch.Generator().manual_seed(0)
PAIRS = Width(partners_C=torch.tensor([1, 0, 3, 2, 4]))
ROWS = 40 * torch.randn(400, 5, generator=RNG)
SHARED = torch.randn(300, 2, generator=RNG) @ torch.randn(2, 5, generator=RNG)


def pair_sums(codes_OC):
    return torch.stack([codes_OC[:, 0] + codes_OC[:, 1], codes_OC[:, 2] + codes_OC[:, 3]]).int()


@pytest.mark.parametrize("products", [None, input_products(SHARED)], ids=["nearest", "compensated"])
def test_a_pair_sums_to_128_at_most_and_one_of_it_may_be_large(products):
    codes_OC = round_weights(ROWS * 1.3, torch.ones(400), PAIRS, products).int()
    assert pair_sums(codes_OC).abs().max() == 128
    assert codes_OC.abs().max() == 127
    assert codes_OC[:, 4].abs().max() > 100


def test_with_the_least_step_nothing_is_out_of_bounds():
    steps_O = PAIRS.least_steps(ROWS)
    rows_OC = ROWS / steps_O[:, None]
    assert (PAIRS.nearest(rows_OC) - rows_OC).abs().max() <= 1
    smaller_OC = ROWS / (0.9 * steps_O[:, None])
    assert ((PAIRS.nearest(smaller_OC) - smaller_OC).abs().amax(1) > 1).all()


def test_pairs_cost_less_than_a_bit():
    errors = []
    for width in (Width(), PAIRS, Width(63)):
        scales_O = weight_scales(ROWS, width)
        errors.append(float((round_weights(ROWS, scales_O, width) * scales_O[:, None] - ROWS).pow(2).mean()))
    assert errors[0] < errors[1] < 0.75 * errors[2]


def layer(weight_shape, groups=1):
    """A convolution in a graph, as `layers_of` gives it."""
    outputs, inputs = weight_shape[:2]
    conv = torch.nn.Conv2d(inputs * groups, outputs, weight_shape[2:], groups=groups)
    with quiet():
        graph = torch.export.export(conv, (torch.zeros(1, inputs * groups, 8, 8),)).run_decompositions({}).module()
    return next(layers_of(graph))


def test_the_weights_of_two_neighbouring_channels_meet():
    partners_C = paired_width(layer((4, 6, 3, 3))).partners_C
    assert partners_C.view(6, 9)[:, 0].tolist() == [9, 0, 27, 18, 45, 36]
    assert partners_C[partners_C].tolist() == list(range(54))
    assert paired_width(layer((4, 5, 1, 1))).partners_C.tolist() == [1, 0, 3, 2, 4]


def test_what_the_runtimes_pair_differently_is_half_as_large():
    assert paired_width(layer((4, 3, 3, 3))) == Width(64)
    assert paired_width(layer((8, 1, 3, 3), groups=4)) == Width(64)


def test_depthwise_weights_have_all_bits():
    assert paired_width(layer((8, 1, 3, 3), groups=8)) == full_width(None)


def test_every_layer_of_a_network_has_a_width(graph):
    for each in layers_of(graph):
        width = paired_width(each)
        assert width.partners_C is None or len(width.partners_C) == each.weight[0].numel()


def one_convolution(codes, groups, file):
    """Write a convolution of raw codes whose sums come out divided by 1024 and rounded, of images of 8 x 8."""
    constants = {
        "one": np.float32(1), "none": np.uint8(0), "codes": codes, "steps": np.ones(len(codes), np.float32),
        "zeros": np.zeros(len(codes), np.int8), "unit": np.float32(1024), "middle": np.uint8(128),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "one", "none"], ["pixels"]),
        helper.make_node("DequantizeLinear", ["pixels", "one", "none"], ["values"]),
        helper.make_node("DequantizeLinear", ["codes", "steps", "zeros"], ["weights"], axis=0),
        helper.make_node("Conv", ["values", "weights"], ["sums"], group=groups),
        helper.make_node("QuantizeLinear", ["sums", "unit", "middle"], ["rounded"]),
        helper.make_node("DequantizeLinear", ["rounded", "unit", "middle"], ["answer"]),
    ]
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in ("image", "answer")]
    ends[0].type.tensor_type.shape.CopyFrom(onnx.TensorShapeProto())
    for size in (1, codes.shape[1] * groups, 8, 8):
        ends[0].type.tensor_type.shape.dim.add(dim_value=size)
    initializers = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "one", ends[:1], ends[1:], initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)


def every_two(inputs, size, groups):
    """Codes `(O, I, k, k)` in which any two are as large as the bounds allow, and all others zero."""
    twos = torch.tensor(list(itertools.combinations(range(inputs * size * size), 2)))
    shape = (len(twos), inputs, size, size)
    rows_OC = torch.zeros(len(twos), inputs * size * size).scatter(1, twos, 127.0)
    return paired_width(layer(shape, groups)).nearest(rows_OC).to(torch.int8).view(shape)


def two_large():
    """Codes of which two neighbours are as large as 8 bits allow."""
    codes = torch.zeros((32, 16, 1, 1), dtype=torch.int8)
    codes[:, 4:6] = 127
    return codes


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Convolutions with the largest weights that the bounds allow, and one whose weights are larger."""
    folder = tmp_path_factory.mktemp("kernels")
    shapes = [(16, 1, 1), (4, 3, 1), (3, 3, 1), (1, 3, 36)]
    codes = [(every_two(*shape), shape[2]) for shape in shapes] + [(two_large(), 1)]
    for number, (each, groups) in enumerate(codes):
        one_convolution(each.numpy(), groups, folder / f"{number}.onnx")
    return {folder / f"{number}.onnx": each for number, (each, _) in enumerate(codes)}


OPENVINO = """
import json, sys
import numpy as np, openvino

for file in sys.argv[1:]:
    model = openvino.compile_model(file, "CPU", {"PERF_COUNT": "YES"})
    request = model.create_infer_request()
    answer = request.infer([np.full(model.input().shape, 255, np.float32)])[0][0, :, 0, 0]
    (kernel,) = [each.exec_type for each in request.get_profiling_info() if "onvolution" in each.node_type]
    assert kernel.endswith("_I8") and "avx512" not in kernel, kernel
    print(json.dumps(answer.tolist()))
"""
ONNX_RUNTIME = """
import json, sys
import numpy as np, onnxruntime

for file in sys.argv[1:]:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    image = np.full(session.get_inputs()[0].shape, 255, np.float32)
    print(json.dumps(session.run(None, {"image": image})[0][0, :, 0, 0].tolist()))
"""
X86 = machine()["architecture"] == "x86_64"
QEMU = shutil.which("qemu-x86_64-static")


def printed(command, script, files, **env):
    """What a script prints of each file, whose inputs are all 255."""
    command = [*command, sys.executable, "-c", script, *map(str, files)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return [np.array(json.loads(line)) for line in done.stdout.splitlines()[-len(files) :]]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("avx2", marks=pytest.mark.skipif(not X86, reason="needs an x86 CPU")),
        pytest.param("haswell", marks=pytest.mark.skipif(not QEMU, reason="needs qemu-x86_64-static")),
    ],
)
def without_dot_products(request, files):
    """Sums of OpenVINO's kernels for AVX2, and of ONNX Runtime's on an emulated CPU with AVX2 and nothing newer.

    One process for all files: to start Python takes seconds there.
    """
    if request.param == "avx2":
        return printed([], OPENVINO, files, ONEDNN_MAX_CPU_ISA="AVX2")
    return printed([QEMU, "-cpu", "Haswell"], ONNX_RUNTIME, files, PYTHONPATH=":".join(sys.path))


def test_the_largest_weights_do_not_overflow(without_dot_products, files):
    """With the largest activations."""
    *bounded, _ = zip(files.values(), without_dot_products, strict=True)
    for codes, sums_O in bounded:
        np.testing.assert_allclose(sums_O, codes.sum((1, 2, 3)) * 255, atol=1024)


def test_the_full_width_would_overflow(without_dot_products):
    assert (without_dot_products[-1] == 32 * 1024).all()  # and not 63 * 1024
