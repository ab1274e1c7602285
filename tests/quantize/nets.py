"""A small network with everything that edge networks are made of, and images for it."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgetl.runner.contract import Contract
from edgetl.zoo.classifier import Classifier
from edgetl.zoo.deployable import Deployable

SIDE, CLASSES = 16, 4
HALF = (0.5, 0.5, 0.5)


def contract(mean=HALF, std=HALF) -> Contract:
    """What the network expects."""
    labels = tuple(f"class {k}" for k in range(CLASSES))
    return Contract(labels=labels, height=SIDE, width=SIDE, resize="squash", mean=mean, std=std)


class Gated(nn.Module):
    """Squeeze-and-excite."""

    def __init__(self, channels: int, gate: nn.Module) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)
        self.gate = gate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply every channel by what the means of all say."""
        return x * self.gate(self.expand(torch.relu(self.reduce(x.mean((2, 3), keepdim=True)))))


def _filter(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class Net(nn.Module):
    """Stem, inverted residual with ReLU6, gates of both kinds, hard-swish, SiLU, pool, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_filter(3, 8, 3, 2), nn.ReLU6())
        self.expand = nn.Sequential(_filter(8, 24, 1), nn.ReLU6())
        self.depthwise = nn.Sequential(_filter(24, 24, 3, groups=24), nn.Hardswish(), Gated(24, nn.Hardsigmoid()))
        self.project = _filter(24, 8, 1)
        self.second = nn.Sequential(_filter(8, 16, 3, 2), nn.SiLU(), Gated(16, nn.Sigmoid()))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `(N, K)` of `(N, 3, H, W)`."""
        x = self.stem(x)
        x = x + self.project(self.depthwise(self.expand(x)))
        return self.head(self.pool(self.second(x)).flatten(1))


class Products(nn.Module):
    """Patches, two residual pairs of matrix products as transformers have them, the last without bias, mean, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 64, 4, 4)
        pairs = [nn.Sequential(nn.LayerNorm(64), nn.Linear(64, 192), nn.ReLU(), nn.Linear(192, 64)) for _ in range(2)]
        pairs[1][3] = nn.Linear(192, 64, bias=False)
        self.pairs = nn.ModuleList(pairs)
        self.head = nn.Linear(64, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `(N, K)` of `(N, 3, H, W)`."""
        x = self.patches(x).flatten(2).transpose(1, 2)
        for pair in self.pairs:
            x = x + pair(x)
        return self.head(x.mean(1))


def matrix_network(seed: int = 0) -> Deployable:
    """A network of matrix products with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = Products()
        nn.init.normal_(net.head.weight, std=1.0)
        nn.init.normal_(net.head.bias)
    return Deployable(Classifier(net, HALF, HALF)).eval()


def network(mean=HALF, std=HALF, seed: int = 0) -> Deployable:
    """The network with random weights, norms that have seen images, and answers that differ."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = Net()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.3, 2.0)
                nn.init.normal_(module.bias, 0.3, 0.5)
        nn.init.normal_(net.head.weight, std=1.0)
    deployable = Deployable(Classifier(net, mean, std)).to(memory_format=torch.contiguous_format)
    with torch.no_grad():
        for _ in range(40):
            deployable.train()(torch.from_numpy(images(32)))
    return deployable.eval()


def images(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Soft patterns of many colours, `(count, 16, 16, 3)`."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 4, 4, 3)).repeat(4, axis=1).repeat(4, axis=2)
    return (0.8 * coarse + 0.2 * rng.integers(0, 256, (count, SIDE, SIDE, 3))).astype(np.uint8)
