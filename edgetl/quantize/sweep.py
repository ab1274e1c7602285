"""Post-training quantization, layer after layer: each is rounded for the inputs that the rounded layers produce.

All calibration images pass the network together, operator by operator, so that every choice is made once, with
everything before it as the device will compute it. The same images pass in float beside them, for comparison.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx

from edgetl.quantize.columns import sampled_columns
from edgetl.quantize.correction import Correction
from edgetl.quantize.graph import Layer, layers_of, parameter
from edgetl.quantize.grids import Grid, Histogram, estimate_grid
from edgetl.quantize.plan import Activations, Plan, RoundedLayer
from edgetl.quantize.points import is_gate, label_of, rounded_points
from edgetl.quantize.rounding import input_products, round_weights, weight_scales
from edgetl.quantize.widths import Width, full_width
from edgetl.recipe.fields import Ranges

__all__ = ["SweepSettings", "sweep"]

_BATCH = 16


@dataclass(frozen=True)
class SweepSettings:
    """What a sweep may choose."""

    width: Callable[[Layer], Width] = full_width
    """Bounds on a layer's integer weights."""

    estimator: Ranges = "mse"
    """How activation ranges are chosen."""

    compensate: bool = True
    """Whether weights compensate for other roundings, so that the layer's output changes least; otherwise each gets its
    nearest code."""

    in_float: frozenset[str] = frozenset()
    """Names of layers that are not rounded."""

    free: frozenset[str] = frozenset()
    """Nodes whose outputs are not rounded."""

    activations: Activations = "static"
    """How activations are quantized; only `static` ones have grids."""

    def to_dict(self) -> dict[str, Any]:
        """As plain data; functions by their names."""
        named = {"width": self.width.__name__, "in_float": sorted(self.in_float), "free": sorted(self.free)}
        return {**named, "estimator": self.estimator, "compensate": self.compensate, "activations": self.activations}


def sweep(
    graph: fx.GraphModule,
    images_NHWC: NDArray[np.uint8],
    settings: SweepSettings,
    *,
    fixed: dict[str, Grid] | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Plan:
    """Quantize a folded graph.

    Args:
        graph: The graph; it is not changed.
        images_NHWC: Calibration images, `(N, H, W, 3)`.
        settings: What may be chosen.
        fixed: Grids that are given, by node.
        advance: Called after each layer.
    """
    with torch.no_grad():
        return _Sweep(graph, images_NHWC, settings, fixed or {}, advance).run()


class _Stored:
    """A tensor of all calibration images, in batches: in float, or as codes of a grid."""

    def __init__(self, batches: list[Any], grid: Grid | None = None) -> None:
        self.grid = grid
        self._batches = batches if grid is None else [_codes(batch, grid) for batch in batches]

    def __getitem__(self, batch: int) -> Any:
        stored = self._batches[batch]
        return stored if self.grid is None else (stored.float() - self.grid.zero_point) * self.grid.scale

    def drop(self, batch: int) -> None:
        self._batches[batch] = None


def _codes(values: torch.Tensor, grid: Grid) -> torch.Tensor:
    return (values / grid.scale).round_().add_(grid.zero_point).clamp_(0, grid.top).to(torch.uint8)


class _Sweep:
    def __init__(
        self,
        graph: fx.GraphModule,
        images_NHWC: NDArray[np.uint8],
        settings: SweepSettings,
        fixed: dict[str, Grid],
        advance: Callable[[], None],
    ) -> None:
        self._graph, self._settings, self._fixed, self._advance = graph, settings, fixed, advance
        starts = range(0, len(images_NHWC), _BATCH)
        self._images = [torch.from_numpy(images_NHWC[start : start + _BATCH]) for start in starts]
        self._layers = {layer.node: layer for layer in layers_of(graph) if layer.name not in settings.in_float}
        rounded = rounded_points(graph) if settings.activations == "static" else []
        self._points = {node for node in rounded if node.name not in settings.free}
        self._last_reader = {source: node for node in graph.graph.nodes for source in node.all_input_nodes}
        self._values: dict[fx.Node, _Stored] = {}
        self._floats: dict[fx.Node, _Stored] = {}
        self._rounded: dict[str, RoundedLayer] = {}
        self._alone: dict[str, RoundedLayer] = {}
        self._grids: dict[str, Grid] = {}
        self._dead: list[str] = []

    def run(self) -> Plan:
        for node in self._graph.graph.nodes:
            if node.op == "output":
                break
            if layer := self._layers.get(node):
                floats, outputs = self._round(layer)
                self._advance()
            else:
                floats, outputs = (self._outputs(node, values) for values in (self._floats, self._values))
            self._floats[node] = _Stored(floats)
            self._values[node] = _Stored(outputs, self._grid(node, outputs) if node in self._points else None)
        activations, dead = self._settings.activations, tuple(self._dead)
        return Plan(self._rounded, self._grids, activations=activations, alone=self._alone, dead=dead)

    def _round(self, layer: Layer) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Choose a layer's integers; returns its outputs in float, and with the integers."""
        rounded = self._integers(layer)
        floats = self._outputs(layer.node, self._floats)
        outputs = self._outputs(
            layer.node, self._values, lambda inputs, *_: layer.compute(inputs, rounded.weight, rounded.bias_O)
        )
        # The bias removes the mean error of all roundings so far (Nagel et al., 2019, arXiv 1906.04721, section 4.2).
        shift_O = _channel_means(layer, floats) - _channel_means(layer, outputs)
        for output in outputs:
            output += shift_O.view(-1, 1, 1) if layer.is_convolution else shift_O
        self._rounded[layer.node.name] = replace(rounded, bias_O=layer.bias + shift_O)
        return floats, outputs

    def _integers(self, layer: Layer) -> RoundedLayer:
        """A layer with integer weights and its original bias."""
        columns = self._columns(layer, self._values) if self._settings.compensate else None
        products = None if columns is None else input_products(columns)
        alone = self._alone[layer.node.name] = self._rounding(layer, layer.weight, products)
        if columns is None or (float_columns := self._columns(layer, self._floats)) is None:
            return alone
        correction = Correction(layer.weight, columns, float_columns)
        if (corrected := correction.weight()) is None:
            return alone
        # Evenly spaced weights lose nothing to rounding if they stay, which may be better.
        tried = (alone, self._rounding(layer, corrected, products))
        return max(tried, key=lambda rounded: correction.gain(rounded.weight))

    def _rounding(self, layer: Layer, weight: torch.Tensor, products: torch.Tensor | None) -> RoundedLayer:
        width = self._settings.width(layer)
        scales_O = weight_scales(weight, width)
        return RoundedLayer(round_weights(weight, scales_O, width, products), scales_O, layer.bias)

    def _columns(self, layer: Layer, values: dict[fx.Node, _Stored]) -> torch.Tensor | None:
        """Samples of a layer's inputs; at the same positions in both networks."""
        batches = range(len(self._images))
        return sampled_columns(layer, (values[layer.source][batch] for batch in batches), len(batches))

    def _outputs(
        self, node: fx.Node, values: dict[fx.Node, _Stored], function: Callable[..., Any] | None = None
    ) -> list[Any]:
        """A node's outputs; values are dropped after their last reader."""
        if node.op == "placeholder":
            return list(self._images)
        if node.op == "get_attr":
            return [parameter(self._graph, str(node.target))] * len(self._images)
        assert callable(node.target)
        function, outputs = function or node.target, []
        for batch in range(len(self._images)):
            args, kwargs = fx.node.map_arg((node.args, node.kwargs), partial(_of_batch, values, batch))
            outputs.append(function(*args, **kwargs))
            for source in node.all_input_nodes:
                if self._last_reader[source] is node:
                    values[source].drop(batch)
        return outputs

    def _grid(self, node: fx.Node, outputs: list[torch.Tensor]) -> Grid:
        if grid := self._fixed.get(node.name):
            pass
        elif is_gate(node):
            grid = Grid(1 / 256, 0)  # TFLite prescribes it for LOGISTIC; the other formats follow
        else:
            histogram = Histogram(outputs)
            if histogram.low == histogram.high:
                self._dead.append(label_of(node))
            grid = estimate_grid(histogram, self._settings.estimator)
        self._grids[node.name] = grid
        return grid


def _of_batch(values: dict[fx.Node, _Stored], batch: int, node: fx.Node) -> Any:
    return values[node][batch]


def _channel_means(layer: Layer, outputs: list[torch.Tensor]) -> torch.Tensor:
    """Means over images and positions, `(O,)`."""
    total = sum(map(len, outputs))
    means = [output.mean((0, 2, 3)) if layer.is_convolution else output.flatten(0, -2).mean(0) for output in outputs]
    return torch.stack([mean * (len(output) / total) for mean, output in zip(means, outputs, strict=True)]).sum(0)
