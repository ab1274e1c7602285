"""Integer TFLite files, run by the real runtime, are what the plan says."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from nets import CLASSES, HALF, contract, images, network
from torch import nn

from edgetl.export.tflite import write_tflite
from edgetl.quantize.graph import layers_of
from edgetl.quantize.grids import Grid
from edgetl.quantize.plan import Plan, Simulation
from edgetl.quantize.planner import Planner
from edgetl.quantize.points import input_point
from edgetl.quantize.sweep import SweepSettings, sweep
from edgetl.quantize.tflite import TfliteQuantizer
from edgetl.quantize.tflite_graph import FloatFile
from edgetl.quantize.widths import Width
from edgetl.runner.backends import open_model
from edgetl.runner.backends.base import Session
from edgetl.runs.quiet import quiet
from edgetl.zoo.classifier import Classifier
from edgetl.zoo.deployable import Deployable

IMAGES = images(100, seed=1)


class Pooled(nn.Module):
    """Pools of both kinds, a padding below zero, branches that join, groups, and a factor for each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.after = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.left, self.right = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1, bias=False)
        self.mix, self.gamma = nn.Conv2d(16, 16, 1), nn.Parameter(torch.linspace(-1, 1, 16))
        self.last, self.head = nn.Conv2d(16, 8, 1), nn.Linear(8 * 4, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `(N, K)` of `(N, 3, H, W)`."""
        x = nn.functional.max_pool2d(torch.relu(self.stem(x)), 3, 2, 1)
        x = nn.functional.max_pool2d(self.after(x), 3, 2, 1)
        x = torch.cat([torch.relu(self.left(x)), self.right(x) * 3], 1)
        x = torch.relu(self.mix(x) * self.gamma.view(1, -1, 1, 1) + x)
        x = nn.functional.avg_pool2d(x, 2)
        x = self.last(nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False))
        return self.head(x.flatten(1))


class Scaled(nn.Module):
    """A residual with a factor for each channel behind matrix products over channels, as in ConvNeXt."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, CLASSES)
        self.inner = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.gamma = nn.Parameter(torch.linspace(0.5, 2, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `(N, K)` of `(N, 3, H, W)`."""
        x = self.stem(x)
        x = x + self.inner(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) * self.gamma.view(1, -1, 1, 1)
        return self.head(x.mean((2, 3)))


def pooled():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Pooled()
        for module in (each for each in net.modules() if isinstance(each, nn.Conv2d)):
            nn.init.kaiming_normal_(module.weight)
    return Deployable(Classifier(net, HALF, HALF)).to(memory_format=torch.contiguous_format).eval()


class Case:
    """A float file and a plan for it."""

    def __init__(self, place, source, traced, graph, plan):
        self.place, self.source, self.traced, self.graph, self.plan = place, source, traced, graph, plan
        self.quantizer = TfliteQuantizer(self.source, self.traced, images(2))

    def write(self, plan=None, name="integer.tflite"):
        """The file of a plan, and the layers that it has in float."""
        left = self.quantizer.write(plan or self.plan, contract(), self.place / name)
        return self.place / name, left

    def simulate(self, plan=None):
        """What the plan's answers should be."""
        return Simulation(self.graph, plan or self.plan).predict(IMAGES)


def case_of(place, deployable):
    """Convert a network and plan it."""
    source, planner = place / "float.tflite", Planner(deployable, contract(), images(48))
    with quiet():
        write_tflite(deployable, contract(), 1, source)
    plan = planner.plan(SweepSettings())
    return Case(place, source, planner.traced, planner.graph_of(plan), plan)


@pytest.fixture(scope="module")
def case(pixels, tmp_path_factory):
    planner = pixels.planner
    return Case(
        tmp_path_factory.mktemp("tflite"), pixels.sources["tflite"], planner.traced, planner.centred, pixels.plan
    )


@pytest.fixture(scope="module")
def integer(case):
    return case.write()[0]


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return case_of(tmp_path_factory.mktemp("pooled"), pooled())


def answers(file, threads=1):
    return open_model(file, Session(threads=threads)).run(IMAGES)


def without(values, *keys):
    return {key: value for key, value in values.items() if key not in keys}


def node_of(case, name):
    return next(layer.node.name for layer in layers_of(case.traced) if layer.name == name)


def assert_alike(actual_NK, expected_NK, tolerance=0.022):
    """Equal but for codes that fall the other way, which happens once in some thousand, and what comes of it."""
    spread = np.linalg.norm(expected_NK - expected_NK.mean(0))
    assert np.linalg.norm(actual_NK - expected_NK) < tolerance * spread


def opened(file, plain=True):
    options = {"experimental_op_resolver_type": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES} if plain else {}
    interpreter = Interpreter(str(file), **options)
    interpreter.allocate_tensors()
    return interpreter


def kinds(file):
    return [each["op_name"] for each in opened(file)._get_ops_details()]


def constants(file, dtype):
    """Values and steps of a file's constants, by name."""
    interpreter = opened(file)
    computed = {tensor for each in interpreter._get_ops_details() for tensor in each["outputs"]}
    held = [
        each for each in interpreter.get_tensor_details() if each["index"] not in computed and each["dtype"] is dtype
    ]
    named = [each for each in held if each["name"]]  # the others are of the kernels
    return {each["name"]: (interpreter.get_tensor(each["index"]), each["quantization_parameters"]) for each in named}


def test_the_file_answers_as_the_simulation_does(case, integer):
    assert_alike(answers(integer), case.simulate())
    assert np.abs(answers(integer) - case.simulate(Plan({}, {}))).mean() > 1e-4


def test_pools_branches_groups_and_channel_factors_answer_as_the_simulation_does(other):
    file, left = other.write()
    assert left == ()
    # The file holds the channels' factors in its weights, and rounds once less than the plan.
    assert_alike(answers(file), other.simulate(), tolerance=0.15)
    assert {"PAD", "PADV2"} <= set(kinds(file))


def test_a_bias_that_the_converter_shapes_like_an_image_is_a_vector_and_quantized(tmp_path):
    """The factors of the channels become part of a fully connected layer, whose bias is `(1, 1, 1, C)` then."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        deployable = Deployable(Classifier(Scaled(), HALF, HALF)).to(memory_format=torch.contiguous_format).eval()
    scaled = case_of(tmp_path, deployable)
    file, left = scaled.write()
    interpreter = opened(scaled.source)
    shapes = {each["index"]: each["shape"] for each in interpreter.get_tensor_details()}
    layers = [each for each in interpreter._get_ops_details() if each["op_name"] == "FULLY_CONNECTED"]
    assert [len(shapes[each["inputs"][2]]) for each in layers] == [1, 1, 1]
    assert "inner.3" not in left
    assert "inner.3.weight" in constants(file, np.int8)
    assert_alike(answers(file), answers(scaled.source), tolerance=0.1)


@pytest.mark.parametrize("name", ["right", "mix"])
def test_a_bias_is_scaled_as_the_file_scales_the_layer(name, other):
    """By 3, or by a factor for each channel, which the converter moves into the weights."""
    node = node_of(other, name)
    moved = replace(other.plan.layers[node], bias_O=other.plan.layers[node].bias_O + 0.5)
    plan = replace(other.plan, layers={**other.plan.layers, node: moved})
    file, _ = other.write(plan, "moved.tflite")
    assert_alike(answers(file), other.simulate(plan), tolerance=0.15)


def test_without_a_delegate_the_answers_are_alike(case, integer):
    interpreter, answers_NK = opened(integer), []
    for image_HWC in IMAGES:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image_HWC[None])
        interpreter.invoke()
        answers_NK.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    assert_alike(np.array(answers_NK), case.simulate(), tolerance=0.04)


def test_weights_are_there_once_as_the_plans_codes(case, integer):
    stored, rounded = constants(integer, np.int8), case.plan.layers
    assert {f"{layer.name}.weight" for layer in layers_of(case.traced)} <= set(stored)
    codes, parameters = stored["expand.0.0.weight"]
    weights = codes * parameters["scales"].reshape(-1, 1, 1, 1)
    np.testing.assert_allclose(weights.transpose(0, 3, 1, 2), rounded[node_of(case, "expand.0.0")].weight, rtol=1e-5)
    assert sum(values.size for values, _ in constants(integer, np.float32).values()) <= 2 * CLASSES
    assert integer.stat().st_size < case.source.stat().st_size


def test_coarse_weights_use_the_whole_range_of_codes(case):
    """Kernels without XNNPACK round sums twice, which shows where the sums are of a few codes only."""
    coarse = sweep(case.graph, images(16), SweepSettings(width=lambda _: Width(7)))
    codes, parameters = constants(case.write(coarse, "coarse.tflite")[0], np.int8)["second.0.0.weight"]
    assert np.abs(codes).max((1, 2, 3)).min() > 100
    weights = codes * parameters["scales"].reshape(-1, 1, 1, 1)
    expected = coarse.layers[node_of(case, "second.0.0")].weight
    np.testing.assert_allclose(weights.transpose(0, 3, 1, 2), expected, rtol=1e-5)


def test_every_layer_computes_with_integers(case, integer):
    assert case.write()[1] == ()
    interpreter = opened(integer)
    types = {each["index"]: each["dtype"] for each in interpreter.get_tensor_details()}
    for each in interpreter._get_ops_details():
        if each["op_name"] in ("CONV_2D", "DEPTHWISE_CONV_2D", "MEAN", "LOGISTIC", "PAD"):
            assert types[each["outputs"][0]] is np.int8
        if each["op_name"] == "FULLY_CONNECTED":
            assert types[each["inputs"][1]] is np.int8


def test_xnnpack_takes_the_whole_network(integer):
    """It does so for a file that it knows every operator of: one delegate, one node left to run."""
    operators = [each["op_name"] for each in opened(integer, plain=False)._get_ops_details()]
    assert operators.count("DELEGATE") == 1
    assert not {"HARD_SWISH", "CAST"}.intersection(operators)


def test_probabilities_are_not_rounded_to_codes(integer):
    probabilities_NK = answers(integer)
    assert probabilities_NK.dtype == np.float32
    assert len(np.unique(probabilities_NK[:, 0])) > 0.9 * len(IMAGES)


def test_pixels_are_read_as_they_are(case, integer):
    given = opened(integer).get_input_details()[0]
    assert given["dtype"] is np.uint8
    scale, zero_point = given["quantization"]
    assert (pytest.approx(scale), zero_point) == (1 / 127.5, 128)
    assert kinds(integer)[:3] == ["DEQUANTIZE", "QUANTIZE", "PAD"]


def test_pixels_may_also_be_rounded(case):
    plan = sweep(case.traced, images(48), SweepSettings())
    file, left = case.write(plan, "rounded.tflite")
    assert left == ()
    assert_alike(answers(file), Simulation(case.traced, plan).predict(IMAGES))
    assert kinds(file)[0] == "CAST"


@pytest.mark.parametrize("name", ["stem.0.0", "depthwise.0.0", "depthwise.2.expand", "second.0.0", "head"])
def test_a_layer_that_the_plan_leaves_out_stays_in_float(name, case):
    plan = replace(case.plan, layers=without(case.plan.layers, node_of(case, name)))
    file, left = case.write(plan, "partly.tflite")
    assert left == ()
    assert f"{name}.weight" not in constants(file, np.int8)
    assert len([key for key in constants(file, np.int8) if key.endswith(".weight")]) == len(plan.layers)
    assert max(values.ndim for values, _ in constants(file, np.float32).values()) >= 2
    if name == "stem.0.0":  # it reads floats, about the mean that it was trained with
        plan = replace(plan, grids=without(plan.grids, input_point(case.traced).name))
        assert_alike(answers(file), Simulation(case.traced, plan).predict(IMAGES))
    else:
        assert_alike(answers(file), case.simulate(plan))


def test_a_layer_whose_output_has_no_grid_stays_in_float_and_is_named(case):
    """There is no integer kernel for a convolution with a float output."""
    node = node_of(case, "project.0")
    file, left = case.write(replace(case.plan, grids=without(case.plan.grids, node)), "open.tflite")
    assert left == ("project.0",)
    done = replace(case.plan, layers=without(case.plan.layers, node), grids=without(case.plan.grids, node))
    assert_alike(answers(file), case.simulate(done))


def test_a_file_for_several_images_answers_the_same(case, integer, tmp_path):
    """Also when images do not fill a whole number of calls."""
    source, file = tmp_path / "float.tflite", tmp_path / "integer.tflite"
    with quiet():
        write_tflite(network(), contract(), 3, source)
    for count in (2, 4):
        tensors = [FloatFile.read(each, IMAGES[:count]).tensors.values() for each in (source, case.source)]
        for several, single in zip(*tensors, strict=True):
            np.testing.assert_allclose(several, single, atol=1e-5)
    left = TfliteQuantizer(source, case.traced, images(2)).write(case.plan, contract(), file)
    assert left == ()
    assert opened(file).get_input_details()[0]["shape"].tolist() == [3, 16, 16, 3]
    np.testing.assert_allclose(answers(file), answers(integer), atol=1e-5)


def test_the_contract_goes_along(case, integer):
    assert open_model(integer, Session(threads=1)).contract_json() == contract().to_json()
    named = replace(contract(), labels=("a", "b", "c", "d"))
    case.quantizer.write(case.plan, named, case.place / "named.tflite")
    assert open_model(case.place / "named.tflite", Session(threads=1)).contract_json() == named.to_json()


def test_plans_do_not_rub_off_on_each_other(case, integer):
    before = integer.read_bytes()
    case.write(Plan({}, {}), "nothing.tflite")
    assert_alike(answers(case.place / "nothing.tflite"), case.simulate(Plan({}, {})))
    assert case.write(name="again.tflite")[0].read_bytes() == before


def test_tensors_that_never_were_anything_but_zero_do_not_keep_the_file_from_opening(case):
    """Their step is next to nothing, and XNNPACK refuses to open a file with a ratio of steps above 256."""
    zero = {
        node: Grid(1e-8, grid.zero_point) for node, grid in case.plan.grids.items() if "conv" in node or "add" in node
    }
    file, _ = case.write(replace(case.plan, grids={**case.plan.grids, **zero}), "dead.tflite")
    assert np.isfinite(answers(file)).all()


def test_a_channel_without_weights_keeps_its_bias(case):
    """Its own step would be so small that the bias in such steps overflows."""
    node = node_of(case, "second.0.0")
    rounded = case.plan.layers[node]
    codes, scales_O = rounded.codes.clone(), rounded.scales_O.clone()
    codes[::2], scales_O[::2] = 0, 1e-10
    plan = replace(case.plan, layers={**case.plan.layers, node: replace(rounded, codes=codes, scales_O=scales_O)})
    file, _ = case.write(plan, "empty.tflite")
    assert_alike(answers(file), case.simulate(plan), tolerance=0.04)
