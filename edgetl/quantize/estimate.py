"""How long the plans of a quantization will take on this machine, told before they are made."""

from collections.abc import Sequence

import torch

from edgetl.quantize.correction import Correction
from edgetl.quantize.graph import Layer, layers_of
from edgetl.quantize.planner import Planner
from edgetl.quantize.sweep import SweepSettings, sweep
from edgetl.train.estimate import fastest_seconds

__all__ = ["planning_seconds"]

_FEW = 8
"""Images of the sweep that is timed."""

_PLACES, _INPUTS, _OUTPUTS = 8000, 512, 64
"""The size of the layer that is timed."""

_CUBED, _LINEAR, _DEPTHWISE, _GROUPED = 2.4e-9, 6e-3, 2.0, 0.3
"""What it costs to choose a layer's integers, in the times of that one: by the third power of its inputs, by its
inputs; and where each output has inputs of its own. Fitted to the layers of a ResNet-18 and a MobileNetV2; a network's
sum was within a third of the measured one for three others."""


def planning_seconds(planner: Planner, wanted: Sequence[tuple[SweepSettings, slice]]) -> float:
    """Estimate how long the plans take that are not known yet.

    A part of a sweep's time grows with the images; the other depends on the layers alone. Both are timed in small.

    Args:
        planner: Will make them.
        wanted: What each may choose, and which of the calibration images it takes.
    """
    counts = [len(planner.images_NHWC[part]) for settings, part in wanted if not planner.knows(settings, part=part)]
    if not counts:
        return 0.0
    layers, few_NHWC = list(layers_of(planner.traced)), planner.images_NHWC[:_FEW]
    in_float = SweepSettings(in_float=frozenset(layer.name for layer in layers))
    image_s = fastest_seconds(lambda: sweep(planner.traced, few_NHWC, in_float)) / len(few_NHWC)
    layers_s = sum(map(_cost, layers)) * fastest_seconds(_correct)
    return sum(layers_s + image_s * count for count in counts)


def _cost(layer: Layer) -> float:
    if layer.is_depthwise:
        return _DEPTHWISE
    if layer.is_convolution and layer.geometry[3] > 1:
        return _GROUPED
    inputs = layer.weight[0].numel()
    return _CUBED * inputs**3 + _LINEAR * inputs


def _correct() -> None:
    """Do for a made-up layer what takes most of the time for a real one."""
    generator = torch.Generator().manual_seed(0)
    columns, noise = (torch.randn(_PLACES, _INPUTS, generator=generator) for _ in range(2))
    weight = torch.randn(_OUTPUTS, _INPUTS, generator=generator)
    Correction(weight, columns, columns + 0.1 * noise).weight()
