"""Post-training quantization of a small network, and what its simulation computes."""

import numpy as np
import pytest
import torch
from nets import CLASSES, SIDE, contract, images, network
from torch import nn

from edgetl.quantize.centre import centre_pixels
from edgetl.quantize.correction import Correction
from edgetl.quantize.graph import copied, folded_graph, layers_of
from edgetl.quantize.plan import Plan, Simulation
from edgetl.quantize.points import input_point, rounded_points
from edgetl.quantize.sweep import SweepSettings, sweep
from edgetl.quantize.widths import Width, full_width, paired_width
from edgetl.zoo.classifier import Classifier
from edgetl.zoo.deployable import Deployable

CALIBRATION, OTHERS = images(64), images(200, seed=1)


@pytest.fixture(scope="module")
def float_answers(graph):
    return Simulation(graph, Plan({}, {})).predict(OTHERS)


def divergence(reference_NK, answers_NK):
    return float((reference_NK * (np.log(reference_NK) - np.log(answers_NK.clip(1e-9)))).sum(1).mean())


def test_a_plan_covers_every_layer_and_point(graph):
    plan = sweep(graph, CALIBRATION, SweepSettings())
    assert list(plan.layers) == [layer.node.name for layer in layers_of(graph)]
    assert list(plan.grids) == [node.name for node in rounded_points(graph)]


@pytest.mark.parametrize("width", [full_width, paired_width])
def test_integers_answer_almost_as_the_network_does(graph, float_answers, width):
    answers_NK = Simulation(graph, sweep(graph, CALIBRATION, SweepSettings(width=width))).predict(OTHERS)
    assert (answers_NK.argmax(1) == float_answers.argmax(1)).mean() >= 0.96
    assert 0 < divergence(float_answers, answers_NK) < 0.01


def test_rounding_that_makes_up_for_itself_is_better_than_the_nearest(graph, float_answers):
    found = {
        compensate: divergence(
            float_answers,
            Simulation(
                graph, sweep(graph, CALIBRATION, SweepSettings(width=lambda _: Width(7), compensate=compensate))
            ).predict(OTHERS),
        )
        for compensate in (True, False)
    }
    assert found[True] < found[False]


def test_weights_make_up_for_what_their_inputs_have_lost(graph, float_answers, monkeypatch):
    settings = SweepSettings(width=lambda _: Width(7))
    corrected = divergence(float_answers, Simulation(graph, sweep(graph, CALIBRATION, settings)).predict(OTHERS))
    monkeypatch.setattr(Correction, "weight", lambda _: None)
    left = divergence(float_answers, Simulation(graph, sweep(graph, CALIBRATION, settings)).predict(OTHERS))
    assert corrected < 0.85 * left


def with_integer_weights(graph):
    integers = copied(graph)
    for layer in layers_of(integers):
        layer.weight = (layer.weight / layer.weight.abs().max() * 127).round() * 0.01
    return integers


def test_integer_weights_stay_as_they_are_where_moving_them_gains_less(graph, monkeypatch):
    integers, better = with_integer_weights(graph), Correction.weight
    tried = []

    def recorded(correction):
        tried.append(better(correction))
        return tried[-1]

    monkeypatch.setattr(Correction, "weight", recorded)
    plan = sweep(integers, CALIBRATION, SweepSettings())
    exact = [torch.allclose(plan.layers[layer.node.name].weight, layer.weight) for layer in layers_of(integers)]
    assert sum(each is None for each in tried) < sum(exact) < len(exact)


def test_integer_weights_lose_nothing_by_themselves(graph):
    integers = with_integer_weights(graph)
    plan = sweep(integers, CALIBRATION, SweepSettings(activations="float"))
    for layer in layers_of(integers):
        torch.testing.assert_close(plan.layers[layer.node.name].weight, layer.weight)


def test_a_layer_alone_makes_up_for_nothing(graph):
    plan = sweep(graph, CALIBRATION, SweepSettings(width=lambda _: Width(7)))
    for layer in layers_of(graph):
        alone, rounded = plan.alone[layer.node.name], plan.layers[layer.node.name]
        assert torch.equal(alone.bias_O, layer.bias)
        assert not torch.equal(rounded.bias_O, layer.bias)


def test_biases_undo_what_rounding_shifts_on_average(graph):
    plan = sweep(graph, CALIBRATION, SweepSettings(width=lambda _: Width(7), compensate=False))
    logits = {}
    for name, used in {"float": Plan({}, {}), "integer": plan}.items():
        simulation = Simulation(graph, used)
        with torch.no_grad():
            probabilities_NK = simulation.run(torch.from_numpy(CALIBRATION))
        logits[name] = (probabilities_NK.log() - probabilities_NK.log().mean(1, keepdim=True)).mean(0)
    torch.testing.assert_close(logits["integer"], logits["float"], atol=2e-3, rtol=0)


def test_the_graph_stays_as_it_was(graph, float_answers):
    sweep(graph, CALIBRATION, SweepSettings())
    np.testing.assert_array_equal(Simulation(graph, Plan({}, {})).predict(OTHERS), float_answers)


def test_the_last_image_sets_the_ranges_too(graph):
    dark_NHWC = np.zeros_like(CALIBRATION[:20])
    one, other = (sweep(graph, each, SweepSettings()) for each in (dark_NHWC, np.r_[dark_NHWC[1:], CALIBRATION[:1]]))
    assert sum(other.grids[name].scale > grid.scale for name, grid in one.grids.items()) > 5


def test_the_same_images_give_the_same_plan(graph):
    plans = [sweep(graph, CALIBRATION, SweepSettings()) for _ in range(2)]
    assert plans[0].grids == plans[1].grids
    for name, layer in plans[0].layers.items():
        assert torch.equal(layer.codes, plans[1].layers[name].codes)


def test_a_layer_that_never_moves_is_named():
    deployable = network()
    with torch.no_grad():
        norm = deployable.classifier.net.expand[0][1]
        norm.weight.zero_()
        norm.bias.fill_(-1)
    plan = sweep(folded_graph(deployable, contract()), CALIBRATION, SweepSettings())
    assert "expand.0.0" in plan.dead


def test_pixels_lie_on_the_inputs_grid(planner, plan):
    assert plan.pixels
    grid = plan.grids[input_point(planner.traced).name]
    assert grid.zero_point == 128
    assert grid.scale == pytest.approx(1 / 127.5)


def test_channels_of_different_scales_get_a_grid_from_the_images(normalised):
    assert not normalised.plan.pixels


def test_moving_the_centre_of_the_pixels_hardly_changes_an_answer(planner, float_answers):
    moved_NK = Simulation(planner.centred, Plan({}, {})).predict(OTHERS)
    assert 0 < np.abs(moved_NK - float_answers).max() < 0.02


def test_layers_that_are_to_stay_in_float_are_not_planned(graph):
    plan = sweep(graph, CALIBRATION, SweepSettings(in_float=frozenset({"project.0"})))
    names = {layer.node.name: layer.name for layer in layers_of(graph)}
    assert {name for node, name in names.items() if node not in plan.layers} == {"project.0"}


class Folding(nn.Module):
    """Folds rows into the batch axis, as MobileViT does."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(SIDE * 3, 6), nn.Linear(SIDE * 6, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.permute(0, 2, 3, 1).reshape(-1, SIDE * 3)
        return self.head(torch.relu(self.stem(rows)).reshape(-1, SIDE * 6))


def test_places_in_the_batch_axis_are_no_further_images():
    deployable = Deployable(Classifier(Folding(), *((0.5,) * 3,) * 2)).to(memory_format=torch.contiguous_format).eval()
    graph = folded_graph(deployable, contract())
    reference_NK = Simulation(graph, Plan({}, {})).predict(OTHERS)
    answers_NK = Simulation(graph, sweep(graph, CALIBRATION, SweepSettings())).predict(OTHERS)
    assert divergence(reference_NK, answers_NK) < 1e-3


class Twice(nn.Module):
    """Reads the image in two ways."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4 + 3, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.cat([torch.relu(self.conv(x)).mean((2, 3)), x.mean((2, 3))], dim=1))


def test_an_image_that_more_than_a_layer_reads_is_not_moved():
    deployable = Deployable(Classifier(Twice(), *((0.5,) * 3,) * 2)).to(memory_format=torch.contiguous_format).eval()
    assert centre_pixels(folded_graph(deployable, contract())) is None


def test_a_first_layer_that_stays_in_float_keeps_its_mean(planner):
    plan = planner.plan(SweepSettings(in_float=frozenset({"stem.0.0"})))
    assert not plan.pixels
