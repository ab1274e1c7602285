"""Keep small images from being crushed: take strides out of the stem.

A network made for 224 pixels divides each side by 32, so an image of 32 pixels ends as a single point. What
practitioners do is let the first downsampling layers keep the resolution: the CIFAR ResNets (He et al., 2015, section
4.2) and their ImageNet cousins start with stride 1 and no max-pool, MobileNetV2 for CIFAR starts with stride 1 too.
Here the same is done to any network, one layer after another, until the last feature map is at least 3 x 3.
"""

from collections.abc import Callable, Iterator

import torch
from torch import nn

__all__ = ["MIN_GRID", "last_grid", "remove_strides", "strides_to_remove"]

MIN_GRID = 3
"""Smallest side of the last feature map that is aimed at, in cells."""


def strides_to_remove(net: nn.Module, image_size: int) -> int:
    """Find how many downsampling layers, counted from the input, must keep their resolution; `net` is changed.

    Stops early at a layer that has a parallel path (the second stage of a ResNet), which cannot change alone.

    Args:
        net: A network that takes `(N, 3, image_size, image_size)`; it ends up with the strides removed.
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
    """Take the stride out of the first `count` downsampling layers, as `strides_to_remove` did."""
    for _ in range(count):
        _remove(net, *next(_downsampling_layers(net)))


def last_grid(net: nn.Module, image_size: int) -> int:
    """Side of the last feature map that a spatial filter makes, in cells; 0 if the network cannot take this size."""
    sides = [1]

    def note(layer: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        if layer.kernel_size != inputs[0].shape[-2:]:  # else a fully connected layer in the shape of a filter (VGG)
            sides.append(min(output.shape[-2:]))

    spatial = [m for m in net.modules() if isinstance(m, nn.Conv2d) and max(m.kernel_size) > 1]
    hooks = [module.register_forward_hook(note) for module in spatial]
    was_training = net.training
    try:
        with torch.inference_mode():
            net.eval()(torch.zeros(1, 3, image_size, image_size))
    # A filter larger than its input, two paths of different shapes, a transformer's fixed size: 0 is the answer.
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
    setattr(parent, leaf, nn.Identity())  # a pool whose only work was to downsample
    return lambda: setattr(parent, leaf, module)
