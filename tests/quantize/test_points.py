"""Which tensors are rounded, and which are scaled together."""

import torch
from nets import HALF, contract
from torch import nn

from edgetl.quantize.graph import folded_graph, layers_of
from edgetl.quantize.points import float_operators, input_point, label_of, root_of, rounded_points
from edgetl.zoo.classifier import Classifier
from edgetl.zoo.deployable import Deployable


def layer_named(graph, name):
    return next(layer for layer in layers_of(graph) if layer.name == name)


def test_the_image_is_the_first(graph):
    first = input_point(graph)
    assert rounded_points(graph)[0] is first
    assert root_of(layer_named(graph, "stem.0.0").source) is first
    assert label_of(first) == "input"


def test_a_clamp_is_rounded_and_the_layer_before_it_is_not(graph):
    points, layer = rounded_points(graph), layer_named(graph, "stem.0.0")
    (clamp,) = layer.node.users
    assert clamp in points
    assert layer.node not in points
    assert label_of(clamp) == "stem.0.0"


def test_a_layer_before_a_gate_is_rounded(graph):
    assert layer_named(graph, "depthwise.0.0").node in rounded_points(graph)


def test_the_logits_stay_in_float(graph):
    assert layer_named(graph, "head").node not in rounded_points(graph)


def test_everything_that_a_layer_reads_is_rounded(graph):
    points = rounded_points(graph)
    assert all(root_of(layer.source) in points for layer in layers_of(graph))


def test_operators_without_an_integer_form_are_counted(graph):
    assert float_operators(graph) == {}
    net = nn.Sequential(nn.Conv2d(3, 4, 4, 4), nn.GELU(), nn.Flatten(), nn.LayerNorm(64), nn.GELU(), nn.Linear(64, 4))
    deployable = Deployable(Classifier(net, HALF, HALF)).to(memory_format=torch.contiguous_format).eval()
    assert float_operators(folded_graph(deployable, contract())) == {"layer_norm": 1, "gelu": 2}
