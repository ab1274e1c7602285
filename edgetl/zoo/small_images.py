"""Adapt networks to small images: remove strides from the stem.

A network for 224 pixels divides each side by 32, so an image of 32 pixels ends as a single position. Practitioners
therefore let the first downsampling layers keep the resolution: CIFAR ResNets (He et al., 2015, section 4.2) start with
stride 1 and without max-pooling, MobileNetV2 for CIFAR starts with stride 1, too. Here the same is done to any network,
one layer after another, until the last feature map is at least 3 x 3.
"""

from collections.abc import Callable, Iterator

import torch
from torch import nn

__all__ = ["MIN_GRID", "last_grid", "remove_strides", "strides_to_remove"]

MIN_GRID = 3
"""Smallest side of the last feature map, in positions: a 3 x 3 filter then still sees neighbours."""


def strides_to_remove(net: nn.Module, image_size: int) -> int:
    """Remove as many strides as needed, counted from the input; returns their number.

    Stops early at a layer with a parallel path (the second stage of a ResNet), which cannot change alone.

    Args:
        net: A network that takes `(N, 3, image_size, image_size)`; changed in place.
        image_size: Height and width of the input, in pixels.
    """
    removed, grid = 0, last_grid(net, image_size)
    while grid < MIN_GRID and (layer := next(_downsampling_layers(net), None)):
        undo = _remove(net, *layer)
        wider = last_grid(net, image_size)
        if wider < grid:
            undo()
            break
        removed, grid = removed + 1, wider
    return removed


def remove_strides(net: nn.Module, count: int) -> None:
    """Remove the strides of the first `count` downsampling layers, as `strides_to_remove` does."""
    for _ in range(count):
        _remove(net, *next(_downsampling_layers(net)))


def last_grid(net: nn.Module, image_size: int) -> int:
    """Side of the last feature map of a spatial filter, in positions; 0 if the network cannot take this size."""
    sides = [1]

    def note(layer: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        if layer.kernel_size != inputs[0].shape[-2:]:  # otherwise a fully connected layer in the form of a filter (VGG)
            sides.append(min(output.shape[-2:]))

    spatial = [m for m in net.modules() if isinstance(m, nn.Conv2d) and max(m.kernel_size) > 1]
    hooks = [module.register_forward_hook(note) for module in spatial]
    was_training = net.training
    try:
        with torch.inference_mode():
            net.eval()(torch.zeros(1, 3, image_size, image_size))
    # A filter larger than its input, parallel paths of different shapes, or the fixed size of a transformer.
    except (RuntimeError, AssertionError):
        return 0
    finally:
        net.train(was_training)
        for hook in hooks:
            hook.remove()
    return sides[-1]


def _downsampling_layers(net: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d) and _stride(module) > 1:
            yield name, module


def _stride(module: nn.Module) -> int:
    stride = getattr(module, "stride", 1)
    return max(stride) if isinstance(stride, tuple) else int(stride)


def _remove(net: nn.Module, name: str, module: nn.Module) -> Callable[[], None]:
    if isinstance(module, nn.Conv2d):
        before = module.stride
        module.stride = (1, 1)
        return lambda: setattr(module, "stride", before)
    parent = net.get_submodule(name.rpartition(".")[0])
    leaf = name.rpartition(".")[2]
    setattr(parent, leaf, nn.Identity())  # a pool that only downsampled
    return lambda: setattr(parent, leaf, module)
