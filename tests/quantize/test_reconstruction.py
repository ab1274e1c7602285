"""A plan is tuned until its answers come closer to the float network's."""

from dataclasses import replace

import torch
from nets import images

from edgetl.quantize.graph import layers_of
from edgetl.quantize.plan import Plan, Simulation
from edgetl.quantize.points import input_point
from edgetl.quantize.reconstruction import reconstruct
from edgetl.quantize.sensitivity import divergence
from edgetl.quantize.widths import paired_width

OTHERS = images(200, seed=1)
CALIBRATION = images(64)


def tuned(planner, plan, width, steps=60, seed=0):
    return reconstruct(planner.graph_of(plan), plan, width, CALIBRATION, steps=steps, seed=seed)


def test_answers_to_other_images_come_back(planner, plan):
    generator = torch.Generator().manual_seed(0)
    layers = {
        name: replace(each, bias_O=each.bias_O + 0.02 * torch.randn(len(each.bias_O), generator=generator))
        for name, each in plan.layers.items()
    }
    grids = {
        name: grid if grid.scale == 1 / 256 else replace(grid, scale=grid.scale * 0.85)
        for name, grid in plan.grids.items()
    }
    image = input_point(planner.centred).name
    spoiled = replace(plan, layers=layers, grids={**grids, image: plan.grids[image]})
    after = tuned(planner, spoiled, paired_width)
    graph = planner.graph_of(plan)
    reference_NK, *answers = (Simulation(graph, each).predict(OTHERS) for each in (Plan({}, {}), spoiled, after))
    before, now = (divergence(reference_NK, each) for each in answers)
    assert now < 0.4 * before


def test_weights_stay_within_their_bounds_and_other_things_where_they_were(planner, plan):
    after = tuned(planner, plan, paired_width, steps=8)
    graph = planner.graph_of(plan)
    for layer in layers_of(graph):
        width, codes = paired_width(layer), after.layers[layer.node.name].codes
        assert codes.dtype == torch.int8
        assert (width.nearest(codes.flatten(1).float()) == codes.flatten(1)).all()
    assert after.pixels == plan.pixels
    assert after.grids.keys() == plan.grids.keys()
    image = input_point(graph).name
    assert after.grids[image] == plan.grids[image]
    gates = [name for name, grid in plan.grids.items() if grid.scale == 1 / 256]
    assert len(gates) >= 2
    assert all(after.grids[name] == plan.grids[name] for name in gates)
    assert any(after.grids[name] != plan.grids[name] for name in plan.grids)


def test_the_seed_decides_and_nothing_else(planner, plan):
    results = [tuned(planner, plan, paired_width, steps=3, seed=seed) for seed in (0, 0, 1)]
    biases = [torch.cat([each.bias_O for each in result.layers.values()]) for result in results]
    assert torch.equal(biases[0], biases[1])
    assert not torch.equal(biases[0], biases[2])
