"""The head of a network, from features to logits: how to find it, its initial weights, and a hidden layer in it."""

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import nn

from edgetl.errors import ModelError

__all__ = ["FeatureTap", "HiddenHead", "add_hidden_layer", "head_of", "last_layer", "start_small", "without_hidden"]

_STD = 0.01
"""As in torchvision's MobileNetV2 and VGG."""

_LINEAR, _ADDED = "head_linear.", ("head_hidden.", "head_output.")
"""Modules of a `HiddenHead`; no library has such names."""

_T = TypeVar("_T")


class HiddenHead(nn.Module):
    """A linear layer with a hidden one beside it: logits `W x + b + V relu(U x + c)`.

    V is zero at first, so that the head starts as the linear one. What a linear head can say need not be learned again.

    Args:
        linear: `W` and `b`, `(K, D)` and `(K,)`.
        units: Rows of U.
    """

    def __init__(self, linear: nn.Linear, units: int) -> None:
        super().__init__()
        width, classes = linear.in_features, linear.out_features
        self.head_hidden = nn.Linear(width, units)
        self.head_output = nn.Linear(units, classes, bias=False)
        nn.init.kaiming_normal_(self.head_hidden.weight)
        nn.init.zeros_(self.head_hidden.bias)
        nn.init.zeros_(self.head_output.weight)
        self.head_linear = linear  # behind the others: the last layer is the one that takes a fitted head's weights

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        units = torch.relu(self.head_hidden(features))
        logits: torch.Tensor = self.head_linear(features) + self.head_output(units)
        return logits


def add_hidden_layer(net: nn.Module, num_classes: int, units: int) -> None:
    """Put a hidden layer beside the last layer of a network, which keeps its weights.

    Args:
        net: A network from images to logits `(N, num_classes)`; changed in place.
        num_classes: Outputs.
        units: Of the hidden layer.

    Raises:
        ModelError: The last layer is not linear, such as the convolution of a SqueezeNet.
    """
    layer = last_layer(net, num_classes)
    if not isinstance(layer, nn.Linear):
        raise ModelError(
            f"{type(net).__name__}: its last layer is not linear, so it takes no hidden one. Leave head_units at 0"
        )
    path, _, name = next(name for name, module in net.named_modules() if module is layer).rpartition(".")
    setattr(net.get_submodule(path), name, HiddenHead(layer, units))


def without_hidden(tensors: Mapping[str, _T]) -> dict[str, _T]:
    """Tensors of a network by name, without those of a hidden layer in its head."""
    plain = {name: value for name, value in tensors.items() if not any(added in name for added in _ADDED)}
    return {name.replace(_LINEAR, ""): value for name, value in plain.items()}


def start_small(net: nn.Module, num_classes: int) -> None:
    """Give the last layer weights of standard deviation 0.01 and a zero bias, so that the first answers are undecided.

    Some libraries scale the initial weights by the number of outputs: timm's MobileNets and EfficientNets draw from
    +-1 / sqrt(K), so that the logits of ten classes have a standard deviation of 5. The first gradients are then large
    and random, and damage the pretrained filters. torchvision's MobileNetV2 and VGG start as here. BiT (Kolesnikov et
    al., arXiv 1912.11370) starts at zero, which gives no gradient to a SqueezeNet, whose head ends in a ReLU.

    Args:
        net: A network from images to logits `(N, num_classes)`; changed in place.
        num_classes: Outputs.
    """
    layer = last_layer(net, num_classes)
    if layer is None:
        return  # a head of another kind keeps the initial weights of its library
    nn.init.normal_(layer.weight, std=_STD)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def last_layer(net: nn.Module, num_classes: int) -> nn.Linear | nn.Conv2d | None:
    """The linear layer or convolution that computes the logits, or `W` of a `HiddenHead`; None if there is none."""
    layers = [m for m in net.modules() if isinstance(m, nn.Linear | nn.Conv2d) and len(m.weight) == num_classes]
    return layers[-1] if layers else None


def head_of(net: nn.Module, num_classes: int) -> nn.Module | None:
    """The last layer with the hidden one beside it; the last layer alone if there is none."""
    return next((module for module in net.modules() if isinstance(module, HiddenHead)), last_layer(net, num_classes))


class FeatureTap:
    """Captures the input of a network's last layer: its features.

    Args:
        net: A network from images to logits `(N, num_classes)`.
        num_classes: Outputs.

    Raises:
        ModelError: There is no such layer.
    """

    def __init__(self, net: nn.Module, num_classes: int) -> None:
        layer = last_layer(net, num_classes)
        if layer is None:
            raise ModelError(f"{type(net).__name__}: has no last layer whose features could be compared")
        self.width = int(layer.weight.shape[1])
        """Number of features per image."""

        self._heard: torch.Tensor | None = None
        self._hook = layer.register_forward_pre_hook(self._hear)

    def take(self) -> torch.Tensor:
        """Features `(N, width)` of the last forward pass, averaged over positions where the head is a convolution."""
        heard, self._heard = self._heard, None
        if heard is None:
            raise RuntimeError("the network has not run since its features were last taken")
        return heard.flatten(2).mean(2) if heard.ndim == 4 else heard

    def remove(self) -> None:
        """Take the tap off the network."""
        self._hook.remove()

    def _hear(self, _layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self._heard = inputs[0]
