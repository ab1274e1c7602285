"""What each rounding costs, and what is left in float for it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from nets import images

from edgetl.quantize.graph import layers_of
from edgetl.quantize.grids import Grid
from edgetl.quantize.plan import Plan, Simulation
from edgetl.quantize.sensitivity import divergence, measure, measurements, relaxed, units_of

OTHERS = images(48, seed=1)


@pytest.fixture(scope="module")
def graph(planner, plan):
    return planner.graph_of(plan)


@pytest.fixture(scope="module")
def spoiled(graph, plan):
    """A plan with one tensor on a grid of four values."""
    grid = plan.grids["relu_"] if "relu_" in plan.grids else plan.grids[coarse_point(plan)]
    return replace(plan, grids={**plan.grids, coarse_point(plan): Grid(grid.scale * 60, grid.zero_point // 60)})


def coarse_point(plan):
    return sorted(name for name in plan.grids if name.startswith("add"))[-1]


def test_every_rounding_belongs_to_one_unit(graph, plan):
    units = units_of(graph, plan)
    nodes = [node for unit in units for node in unit.nodes]
    assert len(nodes) == len(set(nodes))
    left_out = ({*plan.layers, *plan.grids}) - set(nodes)
    assert len(left_out) == 3  # the image, and the first layer with its clamp, which read pixels
    names = [unit.name for unit in units]
    assert len(names) == len(set(names))
    assert {"expand.0.0", "head", "project.0 (add)"} <= set(names)


def test_a_layer_in_float_takes_its_neighbours_along(graph, plan):
    by_name = {unit.name: unit for unit in units_of(graph, plan)}
    mixed = relaxed(graph, plan, [by_name["expand.0.0"]])
    layers = [layer.rpartition("_")[0] or layer for layer in plan.layers.keys() - mixed.layers.keys()]
    assert len(layers) == 2  # it, and the depthwise layer that reads it
    assert len(plan.grids) - len(mixed.grids) == 1


def test_without_any_rounding_it_is_the_float_network(graph, plan):
    nothing = relaxed(graph, plan, units_of(graph, plan))
    assert len(nothing.layers) == 1  # the first one
    answers = [Simulation(graph, each).predict(OTHERS) for each in (Plan({}, {}), replace(nothing, layers={}))]
    assert np.abs(answers[0] - answers[1]).max() < 0.02  # the image's grid is left


def test_what_is_computed_again_in_part_is_the_same_as_in_full(graph, plan):
    """With biases as trained, which make up for nothing."""
    trained = {layer.node.name: layer.bias for layer in layers_of(graph)}
    layers = {name: replace(each, bias_O=trained[name]) for name, each in plan.layers.items()}
    plan = replace(plan, layers=layers)
    found = measure(graph, plan, OTHERS)
    reference_NK = Simulation(graph, Plan({}, {})).predict(OTHERS)
    for each in found[::4]:
        answers_NK = Simulation(graph, relaxed(graph, plan, [each.unit])).predict(OTHERS)
        assert each.without.divergence == pytest.approx(divergence(reference_NK, answers_NK), rel=1e-3, abs=1e-7)
        assert each.without.flips == (answers_NK.argmax(1) != reference_NK.argmax(1)).mean()


def test_the_rounding_that_spoils_the_answers_is_found(graph, spoiled):
    found = measure(graph, spoiled, OTHERS)
    culprit = coarse_point(spoiled)
    for worst in (
        min(found, key=lambda each: each.alone.sqnr_db),
        max(found, key=lambda each: each.alone.divergence),
        min(found, key=lambda each: each.without.divergence),
        max(found, key=lambda each: each.without.sqnr_db),
    ):
        assert culprit in worst.unit.nodes
    others = [each for each in found if culprit not in each.unit.nodes]
    assert min(each.alone.sqnr_db for each in others) > 15


def test_what_makes_up_for_others_is_no_cost_of_its_layer(graph, plan):
    """Nor does leaving a layer in float take its bias away from the others."""
    layer = plan.layers["linear"]
    shifted = replace(layer, codes=layer.codes.flip(0), bias_O=layer.bias_O + torch.tensor([3.0, 0, 0, 0]))
    before, after = (
        {each.unit.name: each for each in measure(graph, each, OTHERS)}
        for each in (plan, replace(plan, layers={**plan.layers, "linear": shifted}))
    )
    assert after["head"].alone == before["head"].alone
    assert after["head"].without.divergence > 10 * before["head"].without.divergence


def test_the_progress_is_known_before(graph, plan):
    calls = []
    measure(graph, plan, OTHERS[:3], lambda: calls.append(1))
    assert len(calls) == measurements(graph, plan, OTHERS[:3]) == len(units_of(graph, plan))
