"""Integer ONNX made from a plan, in the real runtime."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from nets import images

from edgetl.quantize.graph import copied, layers_of
from edgetl.quantize.onnx import OnnxQuantizer
from edgetl.quantize.plan import Simulation
from edgetl.runner.backends import open_model
from edgetl.runner.backends.base import Session

OTHERS = images(200, seed=1)


class Case:
    """A float file, a plan for it, and an integer file."""

    def __init__(self, folder, small):
        self.source, self.contract = small.sources["onnx"], small.contract
        self.planner, self.plan = small.planner, small.plan
        self.quantizer = OnnxQuantizer(self.source, self.planner.traced, self.planner.probes_NHWC)
        self.file = folder / "model.w8a8.onnx"
        self.missing = self.quantizer.write(self.plan, self.contract, self.file)
        self.simulation = Simulation(self.planner.centred, self.plan)


@pytest.fixture(scope="module")
def case(small, tmp_path_factory):
    return Case(tmp_path_factory.mktemp("onnx"), small)


def run(file, images_NHWC=OTHERS):
    return open_model(file, Session(threads=1)).run(images_NHWC)


def optimized(file, folder):
    """Operators as the runtime fuses them."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node]


def test_it_answers_as_the_simulation_does(case):
    difference_NK = np.abs(run(case.file) - case.simulation.predict(OTHERS))
    assert difference_NK.mean() < 0.004
    assert np.abs(run(case.file) - run(case.source)).mean() > 1e-5


def test_every_layer_runs_on_integers(case, tmp_path):
    found = optimized(case.file, tmp_path)
    assert case.missing == ()
    assert not {"Conv", "FusedConv", "Gemm"}.intersection(found)
    assert found.count("QLinearConv") == 9
    assert "QLinearGlobalAveragePool" in found


def test_weights_are_stored_as_integers_only(case):
    constants = onnx.load(case.file).graph.initializer
    assert all(each.data_type != onnx.TensorProto.FLOAT or np.prod(each.dims) <= 24 for each in constants)


def test_the_image_goes_straight_into_the_first_layer(case):
    found = [node.op_type for node in onnx.load(case.file).graph.node]
    assert found[:2] == (["Transpose", "DequantizeLinear"] if case.plan.pixels else ["Cast", "Sub"])


def test_the_contract_comes_along(case):
    assert open_model(case.file, Session(threads=1)).contract_json() == case.contract.to_json()


def test_a_layer_that_the_plan_leaves_out_stays_in_float(case, tmp_path):
    first = next(layers_of(case.planner.traced)).node.name
    layers = {name: layer for name, layer in case.plan.layers.items() if name != first}
    file = tmp_path / "model.onnx"
    case.quantizer.write(replace(case.plan, layers=layers), case.contract, file)
    assert optimized(file, tmp_path).count("QLinearConv") == 8
    assert np.abs(run(file) - run(case.source)).mean() < 0.02


def test_one_source_gives_many_files(case, tmp_path):
    file = tmp_path / "again.onnx"
    case.quantizer.write(case.plan, case.contract, file)
    assert file.read_bytes() == case.file.read_bytes()


def test_a_layer_that_the_file_does_not_have_is_named(case, tmp_path):
    other = copied(case.planner.traced)
    head = list(layers_of(other))[-1]
    head.weight = head.weight.flip(0)
    quantizer = OnnxQuantizer(case.source, other, case.planner.probes_NHWC)
    assert quantizer.write(case.plan, case.contract, tmp_path / "model.onnx") == ("head",)
