"""Ranges of channels even out, and the network computes what it did."""

import numpy as np
import pytest
import torch
from nets import CLASSES, contract, images
from torch import nn

from edgetl.quantize.equalization import equalize
from edgetl.quantize.graph import copied, folded_graph, layers_of
from edgetl.quantize.plan import Plan, Simulation
from edgetl.quantize.sweep import SweepSettings, sweep
from edgetl.zoo.classifier import Classifier
from edgetl.zoo.deployable import Deployable

CALIBRATION = images(64)


class Net(nn.Module):
    """A residual block with ReLU, whose channels can be scaled, and a layer behind ReLU6, whose cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1)
        depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.inner = nn.Sequential(depthwise, nn.ReLU(), nn.Conv2d(16, 16, 1))
        self.last = nn.Sequential(nn.Conv2d(16, 16, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `(N, K)` of `(N, 3, H, W)`."""
        x = torch.relu(self.stem(x))
        return self.head(self.last(x + self.inner(x)))


@pytest.fixture(scope="module")
def uneven():
    """A graph with channels of very different ranges."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Net()
    nn.init.normal_(net.head.weight, std=2.0)
    graph = folded_graph(Deployable(Classifier(net, (0.5,) * 3, (0.5,) * 3)).eval(), contract())
    layers = {layer.name: layer for layer in layers_of(graph)}
    factor_C = torch.logspace(-1.5, 0, 16)
    for name in ("stem", "inner.2"):  # both feed the sum
        layers[name].weight = layers[name].weight * factor_C.view(-1, 1, 1, 1)
        layers[name].bias = layers[name].bias * factor_C
    for name in ("inner.0", "last.0"):
        shape = (-1, 1, 1, 1) if name == "inner.0" else (1, -1, 1, 1)
        layers[name].weight = layers[name].weight / factor_C.view(shape)
    return graph


def answers(graph, plan=None):
    return Simulation(graph, plan or Plan({}, {})).predict(CALIBRATION)


def test_the_answers_stay(uneven):
    graph = copied(uneven)
    assert equalize(graph, CALIBRATION) == 2
    np.testing.assert_allclose(answers(graph), answers(uneven), atol=1e-5)


def test_rounded_answers_come_closer(uneven):
    graph = copied(uneven)
    equalize(graph, CALIBRATION)
    reference_NK = answers(uneven)
    errors = [
        np.abs(answers(each, sweep(each, CALIBRATION, SweepSettings())) - reference_NK).mean()
        for each in (uneven, graph)
    ]
    assert errors[1] < 0.7 * errors[0]


def test_a_clamp_at_six_keeps_its_channels():
    """Its six would have to move along."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU6(), nn.Conv2d(8, CLASSES, 14), nn.Flatten())
    graph = folded_graph(Deployable(Classifier(net, (0.5,) * 3, (0.5,) * 3)).eval(), contract())
    assert equalize(graph, CALIBRATION) == 0
