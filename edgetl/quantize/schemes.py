"""Schemes without a ladder, and the reasons to refuse some of them in some formats.

| scheme | weights | activations | purpose |
|---|---|---|---|
| `w8a8` | 8 bits | 8 bits, ranges from calibration images | speed and size, see `ladder.py` |
| `fp16` | half precision | float | half the size; time and answers of float |
| `w8` | 8 bits | float | a quarter of the size; time of float |
| `dynamic` | 8 bits | 8 bits, ranges from each image | speed of networks of matrix products |
"""

from collections.abc import Callable
from pathlib import Path

from torch import fx

from edgetl.quantize.formats import Quantizer
from edgetl.quantize.graph import Layer, layers_of
from edgetl.quantize.plan import Plan
from edgetl.quantize.planner import Planner
from edgetl.quantize.sweep import SweepSettings
from edgetl.quantize.widths import Width, full_width
from edgetl.recipe.fields import Format, Scheme
from edgetl.runner.contract import Contract

__all__ = ["NOTES", "SchemeWriter", "refusal", "sweep_of"]

NOTES: dict[Scheme, str] = {
    "fp16": "weights in half precision",
    "w8": "weights in 8 bits",
    "dynamic": "inputs of matrix products in 8 bits, too",
}

_REASONS: dict[tuple[Scheme, Format], str] = {
    ("w8", "onnx"): "ONNX Runtime decodes weights at every inference, and is slower than with float ones; use fp16",
    ("dynamic", "openvino"): "OpenVINO rounds activations by itself where that is faster; give it w8",
}
_MATRIX_SHARE = 0.5
"""Of the multiplications; below, `dynamic` leaves most of the network in float."""

_IMAGES = 64
"""Calibration images for weights alone: more change little, and the float tensors of all are in memory at once."""


def refusal(scheme: Scheme, name: Format, graph: fx.GraphModule) -> str:
    """The reason to refuse a scheme, for the user; empty if the format gains from it.

    Args:
        scheme: The scheme.
        name: The format.
        graph: The folded network.
    """
    if reason := _REASONS.get((scheme, name)):
        return reason
    if scheme == "dynamic" and (share := _matrix_share(graph)) < _MATRIX_SHARE:
        return f"only matrix products gain from it, in which this network has {share:.1%} of its multiplications"
    return ""


def _matrix_share(graph: fx.GraphModule) -> float:
    """The part of a network's multiplications in matrix products, as a fraction of 1."""
    counts = {layer: layer.weight.numel() * _places(layer) for layer in layers_of(graph)}
    products = sum(count for layer, count in counts.items() if not layer.is_convolution)
    return products / sum(counts.values())


def _places(layer: Layer) -> int:
    """The number of positions at which a layer's weights are used in one image."""
    shape = layer.node.meta["val"].shape
    places = 1
    for size in shape[2:] if layer.is_convolution else shape[1:-1]:
        places *= int(size)
    return places


def sweep_of(scheme: Scheme, width: Callable[[Layer], Width], graph: fx.GraphModule) -> tuple[SweepSettings, slice]:
    """What the plan of `w8` or `dynamic` may choose, and which of the calibration images it takes."""
    if scheme == "w8":
        return SweepSettings(full_width, activations="float"), slice(_IMAGES)
    filters = frozenset(layer.name for layer in layers_of(graph) if layer.is_convolution)
    return SweepSettings(width, activations="dynamic", in_float=filters), slice(_IMAGES)


class SchemeWriter:
    """Writes files in schemes without a ladder; formats that can share a plan do.

    Args:
        planner: Makes plans.
        contract: Is embedded in the files.
    """

    def __init__(self, planner: Planner, contract: Contract) -> None:
        self._planner, self._contract = planner, contract
        self._plans: dict[tuple[Scheme, Callable[[Layer], Width]], Plan] = {}

    def write(
        self, scheme: Scheme, quantizer: Quantizer, width: Callable[[Layer], Width], file: Path
    ) -> tuple[str, ...]:
        """Write a file; returns the names of layers that had to stay in float.

        Args:
            scheme: `fp16`, `w8` or `dynamic`.
            quantizer: Of the format.
            width: Bounds on weights whose inputs are quantized.
            file: The file to write.
        """
        if scheme == "fp16":
            quantizer.write_half(self._contract, file)
            return ()
        plan = self._plan(scheme, width)
        return quantizer.write(plan, self._contract, file)

    def _plan(self, scheme: Scheme, width: Callable[[Layer], Width]) -> Plan:
        if (scheme, width) not in self._plans:
            settings, part = sweep_of(scheme, width, self._planner.traced)
            self._plans[scheme, width] = self._planner.plan(settings, part=part)
        return self._plans[scheme, width]
