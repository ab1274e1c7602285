"""The last layer of a network: where it is, and how a new one starts."""

import torch
from torch import nn

from edgetl.errors import ModelError

__all__ = ["FeatureTap", "last_layer", "start_small"]

_STD = 0.01


def start_small(net: nn.Module, num_classes: int) -> None:
    """Give the last layer weights of standard deviation 0.01 and no bias, so that the first answers are undecided.

    Some libraries start it by its number of outputs: timm's MobileNets and EfficientNets draw from +-1 / sqrt(K), which
    for ten classes means logits with a deviation of 5. The first gradients are then large and random, and ruin the
    pretrained filters. torchvision's MobileNetV2 and VGG start as here. BiT (Kolesnikov et al., arXiv 1912.11370)
    starts at zero, which would leave a SqueezeNet, whose head ends in a ReLU, without a gradient.

    Args:
        net: A network from images to logits `(N, num_classes)`; changed in place.
        num_classes: Outputs.
    """
    layer = last_layer(net, num_classes)
    if layer is None:
        return  # a head of another kind keeps the start its library gave it
    nn.init.normal_(layer.weight, std=_STD)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def last_layer(net: nn.Module, num_classes: int) -> nn.Linear | nn.Conv2d | None:
    """The layer that makes the logits; None if it is of another kind."""
    layers = [m for m in net.modules() if isinstance(m, nn.Linear | nn.Conv2d) and len(m.weight) == num_classes]
    return layers[-1] if layers else None


class FeatureTap:
    """Hears what goes into the last layer of a network: its features.

    Args:
        net: A network from images to logits `(N, num_classes)`.
        num_classes: Outputs.

    Raises:
        ModelError: The last layer is not found.
    """

    def __init__(self, net: nn.Module, num_classes: int) -> None:
        layer = last_layer(net, num_classes)
        if layer is None:
            raise ModelError(f"{type(net).__name__}: has no last layer whose features could be compared")
        self.width = int(layer.weight.shape[1])
        """Features of an image."""

        self._heard: torch.Tensor | None = None
        layer.register_forward_pre_hook(self._hear)

    def take(self) -> torch.Tensor:
        """Features `(N, width)` of the last forward pass, averaged over the image where the head is a filter."""
        heard, self._heard = self._heard, None
        if heard is None:
            raise RuntimeError("the network has not run since its features were taken")
        return heard.flatten(2).mean(2) if heard.ndim == 4 else heard

    def _hear(self, _layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self._heard = inputs[0]
