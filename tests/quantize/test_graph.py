"""The folded graph computes what the network computes, in the form of integer runtimes."""

import numpy as np
import pytest
import torch
from nets import SIDE, contract, images, network
from torch import nn

from edgetl.quantize.graph import copied, folded_graph, layers_of
from edgetl.zoo.classifier import Classifier
from edgetl.zoo.deployable import Deployable

IMAGES = torch.from_numpy(images(8))


def folded(net: nn.Module):
    deployable = Deployable(Classifier(net, (0.5,) * 3, (0.5,) * 3)).to(memory_format=torch.contiguous_format).eval()
    return deployable, folded_graph(deployable, contract())


def targets(graph):
    return [str(node.target) for node in graph.graph.nodes]


def test_folding_changes_no_answer(graph):
    np.testing.assert_allclose(graph(IMAGES).detach(), network()(IMAGES).detach(), atol=1e-6)
    assert not any("batch_norm" in target for target in targets(graph))


def test_any_number_of_images_goes_through(graph):
    assert [len(graph(IMAGES[:count])) for count in (1, 3, 8)] == [1, 3, 8]


def test_every_layer_has_its_name_in_the_network_and_a_bias(graph):
    layers = {layer.name: layer for layer in layers_of(graph)}
    assert list(layers)[:2] == ["stem.0.0", "expand.0.0"]
    assert {len(layer.bias) for layer in layers.values()} == {8, 24, 4, 16}
    assert layers["depthwise.0.0"].geometry == ([1, 1], [1, 1], [1, 1], 24)
    assert layers["project.0"].geometry == ([1, 1], [0, 0], [1, 1], 1)


def test_hard_swish_and_silu_become_a_gate_and_a_product(graph):
    found = targets(graph)
    assert not any("hardswish" in target or "silu" in target for target in found)
    assert sum("hardsigmoid" in target for target in found) == 2
    assert sum("sigmoid" in target and "hard" not in target for target in found) == 2


class Unusual(nn.Module):
    """A norm before its convolution, and one convolution used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.after = nn.BatchNorm2d(3)
        self.head = nn.Linear(3 * SIDE * SIDE, 4)
        with torch.no_grad():
            for norm in (self.norm, self.after):
                norm.running_mean.uniform_(-1, 1)
                norm.running_var.uniform_(0.5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.after(self.conv(self.conv(self.norm(x)))).flatten(1))


@pytest.fixture(scope="module")
def unusual():
    return folded(Unusual())


def test_what_cannot_be_folded_stays_as_it_is(unusual):
    deployable, graph = unusual
    np.testing.assert_allclose(graph(IMAGES).detach(), deployable(IMAGES).detach(), atol=1e-6)
    assert sum("batch_norm" in target for target in targets(graph)) == 2


def test_layers_that_share_weights_are_left_in_float(unusual):
    _, graph = unusual
    assert [layer.name for layer in layers_of(graph)] == ["head"]


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_a_layers_numbers_can_be_replaced_in_a_copy(name, graph):
    before, changed = graph(IMAGES), copied(graph)
    layer = next(layers_of(changed))
    setattr(layer, name, getattr(layer, name) * 2)
    assert not torch.allclose(changed(IMAGES), before)
    torch.testing.assert_close(graph(IMAGES), before)
