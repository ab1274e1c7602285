"""The last layer of a network: how to find it, and its initial weights."""

import torch
from torch import nn

from edgetl.errors import ModelError

__all__ = ["FeatureTap", "last_layer", "start_small"]

_STD = 0.01
"""As in torchvision's MobileNetV2 and VGG."""


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
    """The linear layer or convolution that computes the logits; None if there is none."""
    layers = [m for m in net.modules() if isinstance(m, nn.Linear | nn.Conv2d) and len(m.weight) == num_classes]
    return layers[-1] if layers else None


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
