"""Integer OpenVINO IR made from a plan, in the real runtime."""

from collections import Counter
from dataclasses import replace

import numpy as np
import openvino
import pytest
import torch
from nets import contract, images
from torch import nn

from edgetl.devices.profiles import find_target
from edgetl.export.writing import write_artifact
from edgetl.quantize.graph import copied, is_layer, layers_of
from edgetl.quantize.openvino import OpenvinoQuantizer
from edgetl.quantize.plan import Simulation
from edgetl.quantize.planner import Planner
from edgetl.quantize.sweep import SweepSettings
from edgetl.quantize.widths import paired_width
from edgetl.runner.backends import open_model
from edgetl.runner.backends.base import Session
from edgetl.runs.quiet import quiet
from edgetl.zoo.classifier import Classifier
from edgetl.zoo.deployable import Deployable

KNOWN, OTHERS = images(64), images(200, seed=1)

aten = torch.ops.aten
GATES = (aten.hardsigmoid.default, aten.sigmoid.default)


class Case:
    """A float file, a plan for it, and an integer file."""

    def __init__(self, folder, source, contract, planner, plan):
        self.source, self.contract, self.plan = source, contract, plan
        self.traced, self.graph = planner.traced, planner.graph_of(plan)
        self.quantizer = OpenvinoQuantizer(self.source, self.traced, KNOWN[:2])
        self.file = folder / "model.w8a8.xml"
        self.missing = self.quantizer.write(self.plan, contract, self.file)

    def simulated(self, plan=None):
        return Simulation(self.graph, plan or self.plan).predict(OTHERS)


@pytest.fixture(scope="module")
def case(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("openvino")
    return Case(folder, small.sources["openvino"], small.contract, small.planner, small.plan)


def run(file, images_NHWC=OTHERS):
    return open_model(file, Session(threads=1)).run(images_NHWC)


def stored(file):
    """The operators of a file."""
    return openvino.Core().read_model(file).get_ordered_ops()


def computed(file):
    """Kind and precision of each operator that the runtime makes of a file, in order."""
    compiled = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    notes = [each.rt_info for each in compiled.get_runtime_model().get_ordered_ops()]
    kinds = [(note["layerType"].astype(str), note["runtimePrecision"].astype(str)) for note in notes]
    return [each for each in kinds if each[0] not in ("Const", "Reshape")]


def in_float(file):
    layers = Counter(each for each in computed(file) if each[0] in ("Convolution", "FullyConnected"))
    return sum(count for (_, precision), count in layers.items() if precision not in ("i8", "u8"))


def floats(file):
    """Sizes of the file's constants in float."""
    constants = [each for each in stored(file) if each.get_type_name() == "Constant"]
    return [each.data.size for each in constants if each.get_output_element_type(0) == openvino.Type.f32]


def is_computed_through(node):
    """Whether the runtime goes on with a tensor before it rounds: to an activation, or to the sum of a residual."""
    if is_layer(node):
        return any(reader.target in (*GATES, aten.add.Tensor) for reader in node.users)
    return node.target in GATES and all(node.args[0] in reader.args for reader in node.users)


def test_it_answers_as_the_simulation_does(case):
    through = {node.name for node in case.graph.graph.nodes if is_computed_through(node)}
    grids = {name: grid for name, grid in case.plan.grids.items() if name not in through}
    difference_NK = np.abs(run(case.file) - case.simulated(replace(case.plan, grids=grids)))
    assert np.median(difference_NK) < 1e-6
    assert difference_NK.mean() < 1e-4


def test_it_is_not_further_from_the_float_network_than_the_plan(case):
    float_NK = run(case.source)
    error, planned = (np.abs(answers_NK - float_NK).mean() for answers_NK in (run(case.file), case.simulated()))
    assert 1e-4 < error < planned * 1.2


def test_every_layer_runs_on_integers(case):
    kinds = Counter(kind for kind, _ in computed(case.file))
    assert case.missing == ()
    assert (kinds["Convolution"], kinds["FullyConnected"]) == (9, 1)
    assert in_float(case.file) == 0


def test_pixels_that_are_codes_go_straight_into_the_first_layer(case):
    found = computed(case.file)
    before = [kind for kind, _ in found[: found.index(("Convolution", "u8"))]]
    assert before == ["Input", *([] if case.plan.pixels else ["Eltwise"]), "Transpose", "Reorder"]
    written = [each.get_type_name() for each in stored(case.file)]
    assert ("FakeQuantize" in written[: written.index("Transpose")]) == (not case.plan.pixels)


def test_nothing_is_rounded_between_a_layer_and_its_activation(case):
    kinds = ("Clamp", "Relu", "HSwish", "Swish", "HSigmoid", "Sigmoid")
    found = [each for each in stored(case.file) if each.get_type_name() in kinds]
    before = [each.input_value(0).get_node().get_type_name() for each in found]
    assert before == ["Add"] * 8


def test_both_sides_of_a_residual_are_rounded(case):
    sides = [[each.get_node().get_type_name() for each in join.input_values()] for join in stored(case.file)]
    assert sides.count(["FakeQuantize"] * 2) == 3  # and the two gates' products


def test_any_batch_gives_the_same_answers(case):
    np.testing.assert_allclose(run(case.file, OTHERS[:1]), run(case.file)[:1], atol=1e-6)


def test_the_contract_comes_along(case, tmp_path):
    other, file = replace(case.contract, resize="crop"), tmp_path / "model.xml"
    case.quantizer.write(case.plan, other, file)
    assert open_model(file, Session(threads=1)).contract_json() == other.to_json()


def test_a_layer_that_the_plan_leaves_out_stays_in_float(case, tmp_path):
    left_out = list(layers_of(case.traced))[1]
    plan = replace(case.plan, layers={k: v for k, v in case.plan.layers.items() if k != left_out.node.name})
    file = tmp_path / "model.xml"
    assert case.quantizer.write(plan, case.contract, file) == ()
    assert in_float(file) == 1
    assert left_out.weight.numel() in floats(file)
    assert np.abs(run(file) - run(case.source)).mean() < 0.01


def test_a_layer_whose_input_has_no_grid_computes_in_float_and_is_named(case, tmp_path):
    layer = list(layers_of(case.traced))[1]
    plan = replace(case.plan, grids={k: v for k, v in case.plan.grids.items() if k != layer.source.name})
    file = tmp_path / "model.xml"
    assert case.quantizer.write(plan, case.contract, file) == (layer.name,)
    assert in_float(file) == 1


def test_a_layer_that_the_file_does_not_have_is_named(case, tmp_path):
    other = copied(case.traced)
    head = list(layers_of(other))[-1]
    head.weight = head.weight.flip(0)
    quantizer = OpenvinoQuantizer(case.source, other, KNOWN[:2])
    assert quantizer.write(case.plan, case.contract, tmp_path / "model.xml") == ("head",)


def test_one_source_gives_many_files(case, tmp_path):
    other = replace(case.plan, layers={}, grids={}, pixels=False)
    for name, plan in {"float": other, "again": case.plan}.items():
        assert case.quantizer.write(plan, case.contract, tmp_path / f"{name}.xml") == ()
    np.testing.assert_allclose(run(tmp_path / "float.xml"), run(case.source), atol=1e-5)
    np.testing.assert_array_equal(run(tmp_path / "again.xml"), run(case.file))


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A network whose layers have no bias, or next to none; one of them has groups."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        filters = nn.Conv2d(3, 32, 3, 2, bias=False), nn.ReLU(), nn.Conv2d(32, 128, 3, groups=2)
        net = nn.Sequential(*filters, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 4, bias=False))
        nn.init.constant_(filters[-1].bias, 1e-6)
        nn.init.normal_(net[-1].weight, std=2.0)
    deployable = Deployable(Classifier(net, *[(0.5,) * 3] * 2)).to(memory_format=torch.contiguous_format).eval()
    folder = tmp_path_factory.mktemp("bare")
    source, planner = folder / "model.fp32.xml", Planner(deployable, contract(), KNOWN)
    with quiet():
        write_artifact("openvino", deployable, contract(), source, find_target("linux-x86"))
    return Case(folder, source, contract(), planner, planner.plan(SweepSettings(paired_width)))


def test_weights_take_a_quarter_of_the_space(bare):
    sizes = [file.with_suffix(".bin").stat().st_size for file in (bare.source, bare.file)]
    assert sizes[1] < sizes[0] * 0.3
    assert max(floats(bare.file)) == 128


def test_a_layer_without_a_bias_gets_that_of_the_plan(bare, tmp_path):
    layers = {name: replace(layer, bias_O=layer.bias_O + 0.1) for name, layer in bare.plan.layers.items()}
    plan, file = replace(bare.plan, layers=layers), tmp_path / "model.xml"
    assert bare.quantizer.write(plan, bare.contract, file) == ()
    assert in_float(file) == 0
    assert np.abs(run(file) - bare.simulated(plan)).mean() < 1e-3
    assert np.abs(run(file) - run(bare.file)).mean() > 0.01


def test_a_bias_is_added_before_the_sum_is_rounded(bare):
    rounded = [each.input_value(0).get_node() for each in stored(bare.file) if each.get_type_name() == "FakeQuantize"]
    assert [each.get_type_name() for each in rounded] == ["Relu", "Add", "ReduceMean"]


def test_factors_that_a_converter_moves_between_weights_change_nothing(bare, tmp_path):
    model, source, file = openvino.Core().read_model(bare.source), tmp_path / "source.xml", tmp_path / "model.xml"
    layers = [each for each in model.get_ordered_ops() if each.get_type_name() in ("Convolution", "GroupConvolution")]
    for layer, factor in zip(layers, (4, 1 / 4), strict=True):
        weight = openvino.opset13.constant(layer.input_value(1).get_node().data * np.float32(factor))
        layer.input(1).replace_source_output(weight.output(0))
    openvino.save_model(model, source, compress_to_fp16=False)
    assert OpenvinoQuantizer(source, bare.traced, KNOWN[:2]).write(bare.plan, bare.contract, file) == ()
    np.testing.assert_allclose(run(file), run(bare.file), atol=1e-4)
