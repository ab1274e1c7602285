"""Post-training quantization, layer after layer: each one is rounded for the inputs that the rounded ones give it.

All calibration images go through the network together, one operator at a time, so that every choice is made once and
with everything before it as the device will compute it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx

from edgetl.compress.columns import sampled_columns
from edgetl.compress.graph import Layer, layers_of, parameter
from edgetl.compress.grids import Grid, Histogram, estimate_grid
from edgetl.compress.plan import Activations, Plan, RoundedLayer
from edgetl.compress.points import is_gate, label_of, rounded_points
from edgetl.compress.rounding import input_products, round_weights, weight_scales
from edgetl.compress.widths import Width, full_width
from edgetl.config import Ranges

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
    """Whether weights are rounded so that the layer's output changes least, instead of each to its nearest code."""

    in_float: frozenset[str] = frozenset()
    """Names of layers that are not rounded."""

    free: frozenset[str] = frozenset()
    """Nodes whose outputs are not rounded."""

    activations: Activations = "static"
    """What becomes of activations; only static ones have grids."""


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
        graph: What to quantize; it is not changed.
        images_NHWC: Calibration images, `(N, H, W, 3)`.
        settings: What to choose.
        fixed: Grids that are known, by node.
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
    codes = (values / grid.scale).round_().add_(grid.zero_point).clamp_(0, grid.top)
    return codes.to(torch.uint8 if grid.bits == 8 else torch.int32)


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
        self._rounded: dict[str, RoundedLayer] = {}
        self._grids: dict[str, Grid] = {}
        self._dead: list[str] = []

    def run(self) -> Plan:
        means = self._float_means()
        for node in self._graph.graph.nodes:
            if node.op == "output":
                break
            if layer := self._layers.get(node):
                outputs = self._round(layer, means[node])
                self._advance()
            else:
                outputs = self._outputs(node)
            self._values[node] = _Stored(outputs, self._grid(node, outputs) if node in self._points else None)
        return Plan(self._rounded, self._grids, activations=self._settings.activations, dead=tuple(self._dead))

    def _float_means(self) -> dict[fx.Node, torch.Tensor]:
        """Mean of each layer's output over images and places, before anything is rounded: `(O,)`."""
        sums: dict[fx.Node, torch.Tensor] = {}
        layers, total = self._layers, sum(map(len, self._images))
        share = 0.0

        class Means(fx.Interpreter):
            def run_node(self, n: fx.Node) -> Any:
                output = super().run_node(n)
                if layer := layers.get(n):
                    sums[n] = sums.get(n, 0) + _channel_means(layer, output) * share
                return output

        for images in self._images:
            share = len(images) / total  # of an output it may be another: some networks fold places into that axis
            Means(self._graph).run(images)
        return sums

    def _round(self, layer: Layer, float_mean_O: torch.Tensor) -> list[torch.Tensor]:
        """Choose a layer's integers, and give what it computes with them."""
        width, source = self._settings.width(layer), self._values[layer.source]
        scales_O = weight_scales(layer.weight, width)
        batches = range(len(self._images))
        inputs = (source[batch] for batch in batches)
        columns = sampled_columns(layer, inputs, len(batches)) if self._settings.compensate else None
        codes = round_weights(layer.weight, scales_O, width, None if columns is None else input_products(columns))
        rounded = RoundedLayer(codes, scales_O, layer.bias)
        outputs = self._outputs(layer.node, lambda inputs, *_: layer.compute(inputs, rounded.weight, rounded.bias_O))
        # What the roundings up to here change on average, the bias undoes (Nagel et al., 2019, arXiv 1906.04721, 4.2).
        total = sum(map(len, outputs))
        mean_O = sum(_channel_means(layer, output) * (len(output) / total) for output in outputs)
        shift_O = float_mean_O - mean_O
        for output in outputs:
            output += shift_O.view(-1, 1, 1) if layer.is_convolution else shift_O
        self._rounded[layer.node.name] = replace(rounded, bias_O=layer.bias + shift_O)
        return outputs

    def _outputs(self, node: fx.Node, function: Callable[..., Any] | None = None) -> list[Any]:
        """What a node computes from the values so far, which go as soon as nobody reads them any more."""
        if node.op == "placeholder":
            return list(self._images)
        if node.op == "get_attr":
            return [parameter(self._graph, str(node.target))] * len(self._images)
        assert callable(node.target)
        function, outputs = function or node.target, []
        for batch in range(len(self._images)):
            args, kwargs = fx.node.map_arg((node.args, node.kwargs), partial(self._value, batch))
            outputs.append(function(*args, **kwargs))
            for source in node.all_input_nodes:
                if self._last_reader[source] is node:
                    self._values[source].drop(batch)
        return outputs

    def _value(self, batch: int, node: fx.Node) -> Any:
        return self._values[node][batch]

    def _grid(self, node: fx.Node, outputs: list[torch.Tensor]) -> Grid:
        if grid := self._fixed.get(node.name):
            pass
        elif is_gate(node):
            grid = Grid(1 / 256, 0)  # what TFLite prescribes for LOGISTIC; the other formats follow
        else:
            histogram = Histogram(outputs)
            if histogram.low == histogram.high:
                self._dead.append(label_of(node))
            grid = estimate_grid(histogram, self._settings.estimator)
        self._grids[node.name] = grid
        return grid


def _channel_means(layer: Layer, output: torch.Tensor) -> torch.Tensor:
    return output.mean((0, 2, 3)) if layer.is_convolution else output.flatten(0, -2).mean(0)
