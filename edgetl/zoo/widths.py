"""Give a network the widths of a pruned one, which has the same layers with fewer channels."""

from collections.abc import Mapping

import torch
from torch import nn

from edgetl.zoo.head import last_layer, start_small

__all__ = ["take_widths"]

_Adjustable = nn.Conv2d | nn.BatchNorm2d | nn.Linear


def take_widths(net: nn.Module, state: Mapping[str, torch.Tensor], num_classes: int) -> None:
    """Give every filter, norm and matrix the shape of its saved weights; the values are loaded afterwards.

    A layer that cannot have the saved shape, such as a filter of another size, stays as it is, and loading refuses it.

    Args:
        net: The unpruned network, from images to logits `(N, num_classes)`; changed in place.
        state: The pruned network's tensors, by name.
        num_classes: Outputs, which stay the same; a last layer saved with another number gets new weights.
    """
    head = last_layer(net, num_classes)
    for name, layer in net.named_modules():
        saved = state.get(f"{name}.weight")
        if saved is None or not isinstance(layer, _Adjustable) or saved.shape[2:] != layer.weight.shape[2:]:
            continue
        outputs = num_classes if layer is head else len(saved)
        if layer.weight.shape != (outputs, *saved.shape[1:]):
            _reshape(layer, outputs, saved.shape)
    start_small(net, num_classes)


def _reshape(layer: _Adjustable, outputs: int, saved: torch.Size) -> None:
    layer.weight = nn.Parameter(torch.zeros(outputs, *saved[1:]))
    if layer.bias is not None:
        layer.bias = nn.Parameter(torch.zeros(outputs))
    if isinstance(layer, nn.BatchNorm2d):
        layer.num_features = outputs
        layer.running_mean, layer.running_var = torch.zeros(outputs), torch.ones(outputs)
    elif isinstance(layer, nn.Linear):
        layer.in_features, layer.out_features = saved[1], outputs
    else:
        layer.groups = outputs if layer.groups > 1 else 1  # each channel by itself, or all together
        layer.in_channels, layer.out_channels = saved[1] * layer.groups, outputs
