"""Numbers in fewer bits than float, in the formats whose runtimes gain from it, and no others."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from nets import contract, images, matrix_network, network

from edgetl.devices.profiles import find_target
from edgetl.export.formats import SUFFIX
from edgetl.export.writing import write_artifact
from edgetl.quantize.formats import quantizer_for
from edgetl.quantize.planner import Planner
from edgetl.quantize.schemes import SchemeWriter, refusal
from edgetl.quantize.sweep import SweepSettings
from edgetl.quantize.tflite_graph import FloatFile
from edgetl.quantize.widths import full_width, paired_width
from edgetl.runner.backends import open_model
from edgetl.runner.backends.base import Session
from edgetl.runs.quiet import quiet

FORMATS = ("onnx", "tflite", "openvino")
SHOWN = images(64, seed=1)


@dataclass
class Made:
    """A network's float files, and what writes others."""

    folder: Path
    planner: Planner
    quantizers: dict
    writer: SchemeWriter

    def write(self, name, scheme, width=paired_width):
        """Write a file in a scheme; tells where it is, and which layers it left in float."""
        file = self.folder / f"model.{scheme}{SUFFIX[name]}"
        with quiet():
            missing = self.writer.write(scheme, self.quantizers[name], width, file)
        return file, missing

    def float(self, name):
        """The float file."""
        return self.folder / f"model.fp32{SUFFIX[name]}"


def made(folder, deployable):
    planner = Planner(deployable, contract(), images(32))
    quantizers = {}
    with quiet():
        for name in FORMATS:
            file = folder / f"model.fp32{SUFFIX[name]}"
            write_artifact(name, deployable, contract(), file, find_target("linux-x86"))
            quantizers[name] = quantizer_for(name, file, planner.traced, planner.probes_NHWC)
    return Made(folder, planner, quantizers, SchemeWriter(planner, contract()))


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    """A network of matrix products."""
    return made(tmp_path_factory.mktemp("products"), matrix_network())


@pytest.fixture(scope="module")
def filters(tmp_path_factory):
    """A network of convolutions, one of whose weights half precision cannot hold."""
    deployable = network()
    net = deployable.classifier.net
    with torch.no_grad():
        net.project[0].weight[0, 0] = 1e5
        net.project[1].weight[0] = 1e-5
    return made(tmp_path_factory.mktemp("filters"), deployable)


def answers(file):
    return open_model(file, Session(threads=1)).run(SHOWN)


def weights_size(file):
    return (file.with_suffix(".bin") if file.suffix == ".xml" else file).stat().st_size


@pytest.mark.parametrize("name", FORMATS)
def test_half_precision_halves_the_file_and_hardly_changes_an_answer(name, products):
    file, missing = products.write(name, "fp16")
    assert missing == ()
    assert 0 < np.abs(answers(file) - answers(products.float(name))).max() < 2e-3
    assert 0.45 < weights_size(file) / weights_size(products.float(name)) < 0.58
    assert open_model(file, Session(threads=1)).contract_json() == contract().to_json()


@pytest.mark.parametrize("name", FORMATS)
def test_a_weight_beyond_half_precision_is_not_lost(name, filters):
    file, _ = filters.write(name, "fp16")
    assert np.abs(answers(file) - answers(filters.float(name))).max() < 2e-2


@pytest.mark.parametrize("name", ["tflite", "openvino"])
def test_weights_alone_in_8_bits_quarter_the_file(name, products):
    file, missing = products.write(name, "w8")
    # LiteRT's converter multiplied the scale of the pixels into the first layer.
    assert missing == (("patches",) if name == "tflite" else ())
    assert 0 < np.abs(answers(file) - answers(products.float(name))).mean() < 5e-3
    assert weights_size(file) / weights_size(products.float(name)) < 0.4


@pytest.mark.parametrize("name", FORMATS)
def test_weights_alone_cost_convolutions_little_too(name, filters):
    """ONNX, too, which is refused for its speed alone."""
    file, missing = filters.write(name, "w8")
    assert missing == ()
    assert 0 < np.abs(answers(file) - answers(filters.float(name))).mean() < 1e-2


def test_weights_alone_are_decoded_in_the_file_and_nothing_else_is_rounded(products):
    import openvino

    kinds = [each.get_type_name() for each in openvino.Core().read_model(products.write("openvino", "w8")[0]).get_ops()]
    assert "FakeQuantize" not in kinds
    kinds = [step.kind for step in FloatFile.read(products.write("tflite", "w8")[0], SHOWN[:1]).steps]
    assert kinds.count("DEQUANTIZE") == 5  # all matrix products
    assert "QUANTIZE" not in kinds


@pytest.mark.parametrize("name", ["onnx", "tflite"])
def test_dynamic_rounds_the_inputs_of_matrix_products_for_each_image(name, products):
    file, missing = products.write(name, "dynamic")
    assert missing == ()
    assert 0 < np.abs(answers(file) - answers(products.float(name))).mean() < 1e-2
    assert weights_size(file) / weights_size(products.float(name)) < 0.5


@pytest.mark.parametrize("name", FORMATS)
def test_matrix_products_are_quantized_with_and_without_bias(name, products):
    file = products.folder / f"model.w8a8{SUFFIX[name]}"
    with quiet():
        missing = products.quantizers[name].write(products.planner.plan(SweepSettings()), contract(), file)
    assert missing == (("patches",) if name == "tflite" else ())
    assert 0 < np.abs(answers(file) - answers(products.float(name))).mean() < 2e-2


def test_onnx_multiplies_integers_in_every_matrix_product(products):
    kinds = [node.op_type for node in onnx.load(products.write("onnx", "dynamic")[0]).graph.node]
    assert (kinds.count("MatMulInteger"), kinds.count("DynamicQuantizeLinear")) == (5, 5)
    assert "MatMul" not in kinds
    assert "Gemm" not in kinds


def test_rounded_inputs_meet_weights_that_share_the_room_of_the_target(products):
    """And those that meet floats have all 8 bits."""
    codes = {}
    for width in (paired_width, full_width):
        model = onnx.load(products.write("onnx", "dynamic", width)[0])
        stored = (onnx.numpy_helper.to_array(each) for each in model.graph.initializer)
        codes[width] = [values.astype(int) for values in stored if values.dtype == np.int8 and values.ndim == 2]
    assert all(np.abs(values[::2] + values[1::2]).max() <= 128 for values in codes[paired_width])
    assert max(np.abs(values[::2] + values[1::2]).max() for values in codes[full_width]) > 128


@pytest.mark.parametrize(
    ("scheme", "name", "reason"),
    [
        ("w8", "onnx", "decodes weights at every inference"),
        ("dynamic", "openvino", "give it w8"),
    ],
)
def test_what_a_runtime_gains_nothing_from_is_refused_with_the_reason(scheme, name, reason, products):
    assert reason in refusal(scheme, name, products.planner.traced)


def test_dynamic_is_for_networks_of_matrix_products(products, filters):
    assert refusal("dynamic", "onnx", products.planner.traced) == ""
    reason = refusal("dynamic", "tflite", filters.planner.traced)
    assert re.fullmatch(r"only matrix products gain from it, .* 0\.\d% of its multiplications", reason)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_given_what_it_gains_from(name, filters):
    given = {scheme for scheme in ("w8a8", "fp16", "w8") if not refusal(scheme, name, filters.planner.traced)}
    assert given == ({"w8a8", "fp16"} if name == "onnx" else {"w8a8", "fp16", "w8"})
