"""A plan is trained on as the integers that every format then has."""

import shutil

import numpy as np
import pytest
import small_run
import torch
from nets import images

from edgetl.quantize.formats import quantizer_for
from edgetl.quantize.graph import layers_of
from edgetl.quantize.plan import Plan, Simulation
from edgetl.quantize.qat import train_aware
from edgetl.quantize.sweep import SweepSettings
from edgetl.quantize.trainable import TrainablePlan
from edgetl.quantize.widths import Width, paired_width
from edgetl.recipe.fields import RUNGS
from edgetl.runner.backends import open_model
from edgetl.runner.backends.base import Session
from edgetl.runs.folder import RunFolder
from edgetl.runs.quiet import quiet
from edgetl.runs.reporter import Reporter

FILES = {"onnx": ".onnx", "tflite": ".tflite", "openvino": ".xml"}


def test_it_starts_as_what_the_plan_computes(planner, plan):
    graph = planner.graph_of(plan)
    trained = TrainablePlan(graph, plan, paired_width, learn_steps=False)
    with torch.no_grad():
        logits_NK = trained(torch.from_numpy(images(50, seed=1)))
    expected_NK = Simulation(graph, plan).predict(images(50, seed=1))
    np.testing.assert_allclose(logits_NK.exp().numpy(), expected_NK, atol=1e-6)
    finished = trained.finished()
    for name, each in plan.layers.items():
        assert torch.equal(finished.layers[name].codes, each.codes)


def test_every_weight_and_bias_learns(planner, plan):
    trained = TrainablePlan(planner.graph_of(plan), plan, paired_width, learn_steps=False)
    assert not trained.steps
    trained(torch.from_numpy(images(50, seed=1)))[:, 0].sum().backward()
    for parameters in (trained.weights, trained.biases):
        assert set(parameters) == set(plan.layers)
        assert all(float(each.grad.abs().sum()) > 0 for each in parameters.values())


def test_a_weight_that_was_cut_off_is_left_alone(planner, plan):
    trained = TrainablePlan(planner.graph_of(plan), plan, lambda _: Width(20), learn_steps=False)
    trained(torch.from_numpy(images(50, seed=1)))[:, 0].sum().backward()
    for name, each in plan.layers.items():
        beyond = each.codes.abs() > 21
        assert (trained.weights[name].grad[beyond] == 0).all()


def test_all_of_it_moves_to_another_device(planner, plan):
    trained = TrainablePlan(planner.graph_of(plan), plan, paired_width, learn_steps=False).to("meta")
    held = [*trained.state_dict().values(), *trained.graph.parameters(), *trained.graph.buffers()]
    assert {each.device.type for each in held} == {"meta"}
    assert {each.device.type for each in planner.graph_of(plan).parameters()} == {"cpu"}
    assert trained.rounded(next(iter(plan.layers))).weight.device.type == "meta"


@pytest.fixture(scope="module")
def coarse(run, digits_planner, tmp_path_factory):
    """A plan whose weights have 9 values, and what training makes of it."""
    planner, folder = digits_planner, RunFolder.open(shutil.copytree(run.path, tmp_path_factory.mktemp("qat") / "run"))
    settings = small_run.recipe(quantize={"qat_epochs": 2, "qat_learning_rate": 0.003})
    context = small_run.context(folder, folder.path, settings)
    plan = planner.plan(SweepSettings(lambda _: Width(4), compensate=False))
    with small_run.user_cache(tmp_path_factory.getbasetemp()):
        trained, records = train_aware(context, planner.graph_of(plan), plan)
    return planner, plan, trained, records


def test_training_brings_back_what_rounding_took(coarse, digits):
    planner, plan, trained, records = coarse
    test_NHWC, labels_N = digits
    graph = planner.graph_of(plan)
    top1 = [
        float((Simulation(graph, each).predict(test_NHWC).argmax(1) == labels_N).mean())
        for each in (Plan({}, {}), plan, trained)
    ]
    assert top1[1] < top1[0] - 0.1
    assert top1[2] > top1[0] - 0.05
    assert [record["epoch"] for record in records] == [1, 2]
    for layer in layers_of(graph):
        codes = trained.layers[layer.node.name].codes.flatten(1).float()
        assert torch.equal(paired_width(layer).nearest(codes), codes)


@pytest.mark.parametrize("name", list(FILES))
def test_the_files_agree_with_what_was_trained(name, coarse, digits, run, tmp_path):
    planner, plan, trained, _ = coarse
    file = tmp_path / f"model.w8a8{FILES[name]}"
    with quiet():
        source = run.file(f"model.fp32{FILES[name]}")
        quantizer = quantizer_for(name, source, planner.traced, planner.probes_NHWC)
        assert quantizer.write(trained, run.contract, file) == ()
    answers_NK = open_model(file, Session(threads=1)).run(digits[0])
    trained_NK = Simulation(planner.graph_of(plan), trained).predict(digits[0])
    assert (answers_NK.argmax(1) == trained_NK.argmax(1)).mean() >= 0.99


def test_the_last_rung_trains_once_for_all_formats(run, runner_inside, tmp_path, tmp_path_factory):
    copy = RunFolder.open(shutil.copytree(run.path, tmp_path / "run"))
    titles = []

    class Listener(Reporter):
        def track(self, title, total, *, even=False):
            titles.append(title)
            return super().track(title, total, even=even)

    assert RUNGS[-1] == "qat"
    settings = small_run.recipe(quantize={"rungs": ["qat"], "qat_epochs": 1, "max_drop": 1, "calibration_images": 32})
    with small_run.user_cache(tmp_path_factory.getbasetemp()):
        small_run.made(settings, copy.path, "teacher", ("quantize",), Listener())
    assert titles.count("Quantization-aware training") == 1
    record = RunFolder.open(copy.path).stage("quantize")
    assert [each["format"] for each in record["artifacts"]] == ["onnx", "tflite", "openvino"]
    assert not copy.checkpoint_dir("quantize").exists()
