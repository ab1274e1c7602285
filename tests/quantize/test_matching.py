"""Tensors of a file are found again by their values."""

import numpy as np
import pytest
import torch
from nets import images

from edgetl.quantize.graph import layers_of
from edgetl.quantize.matching import Match, graph_tensors, match_tensors, match_weight

RNG = np.random.default_rng(0)
NODES = {
    "conv": RNG.normal(size=(2, 5, 4, 4)).astype(np.float32),
    "clamp": RNG.normal(size=(2, 5, 4, 4)).astype(np.float32),
    "mean": RNG.normal(size=(2, 5, 1, 1)).astype(np.float32),
}


def found(*tensors):
    return match_tensors(NODES, [(str(number), values) for number, values in enumerate(tensors)])


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1)])
def test_in_any_layout(order):
    assert found(NODES["clamp"].transpose(order)) == {"0": Match("clamp", 1.0)}


def test_without_the_axes_of_length_one():
    assert found(NODES["mean"][:, :, 0, 0]) == {"0": Match("mean", 1.0)}
    assert found(NODES["mean"].transpose(0, 2, 3, 1)) == {"0": Match("mean", 1.0)}


def test_up_to_a_positive_factor():
    match = found(NODES["conv"] * 6)["0"]
    assert match.node == "conv"
    assert match.factor == pytest.approx(6)
    assert not found(-NODES["conv"])


def test_a_little_rounding_is_allowed_and_a_little_more_is_not():
    noise = RNG.normal(size=NODES["conv"].shape).astype(np.float32)
    assert found(NODES["conv"] + 1e-4 * noise)
    assert not found(NODES["conv"] + 1e-2 * noise)


def test_equal_tensors_are_taken_in_order():
    twice = {"first": NODES["conv"], "second": NODES["conv"]}
    matches = match_tensors(twice, [("a", NODES["conv"]), ("b", NODES["conv"]), ("c", NODES["conv"])])
    assert [matches[name].node for name in "abc"] == ["first", "second", "first"]


def test_tensors_of_zeros_match_each_other_only():
    zeros = {"dead": np.zeros((2, 5, 4, 4), np.float32), **NODES}
    matches = match_tensors(zeros, [("a", np.zeros((2, 5, 4, 4), np.float32)), ("b", np.zeros((2, 7), np.float32))])
    assert matches == {"a": Match("dead", 1.0)}


def test_every_tensor_of_a_graph_is_another_one(graph):
    nodes = graph_tensors(graph, images(2))
    assert {name: match.node for name, match in match_tensors(nodes, nodes.items()).items()} == {n: n for n in nodes}


def test_weights_are_found_among_constants(graph):
    constants = {layer.name: layer.weight.numpy() for layer in layers_of(graph)}
    constants["expand.0.0"] = constants["expand.0.0"] / 127.5
    constants["number"] = np.float32(3)
    for layer in layers_of(graph):
        name, factor = match_weight(layer, constants.items())
        assert name == layer.name
        assert factor == pytest.approx(1 / 127.5 if name == "expand.0.0" else 1)


def test_weights_that_are_not_there_are_not_found(graph):
    layer = next(layers_of(graph))
    assert match_weight(layer, [("other", torch.randn(8, 3, 3, 3).numpy())]) is None
