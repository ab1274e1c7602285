"""Write integer TFLite: apply a plan to the float file, operator by operator.

An operator becomes an integer one if runtimes have a kernel for it and the plan has grids for its tensors; the others
stay in float, with conversions between. Names in the file mean nothing: layers and tensors are identified by values.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import fx

from edgetl.errors import AlreadyInteger
from edgetl.export.embedding import edited_tflite, embed_in_tflite
from edgetl.quantize.graph import Layer, layers_of
from edgetl.quantize.grids import Grid
from edgetl.quantize.matching import Match, graph_tensors, match_tensors
from edgetl.quantize.plan import Plan, RoundedLayer
from edgetl.quantize.points import input_point, root_of, rounded_points
from edgetl.quantize.tflite_graph import GATE, FloatFile, MixedGraph, Step
from edgetl.runner.contract import Contract

__all__ = ["TfliteQuantizer"]

# Operators with an 8-bit kernel, and the version that has it.
_LAYERS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4}
_JOINS = {"ADD": 2, "SUB": 2, "MUL": 3, "CONCATENATION": 2}
_SINGLE = {"MEAN": 2, "AVERAGE_POOL_2D": 2, "LOGISTIC": 2, "HARD_SWISH": 1}
_PLACED = {"PAD": 2, "PADV2": 2, "MAX_POOL_2D": 2, "SLICE": 2, "STRIDED_SLICE": 2}
_PASSING = _PLACED | {"RESHAPE": 1, "SQUEEZE": 1, "TRANSPOSE": 2}
"""Operators whose output must have the grid of their input."""

_VERSIONS = _LAYERS | _JOINS | _SINGLE | _PASSING
_AXES = {"CONV_2D": (0, 3, 1, 2), "DEPTHWISE_CONV_2D": (3, 0, 1, 2), "FULLY_CONNECTED": (0, 1)}
"""Axes `(O, I, kH, kW)` of a file's weights."""

_TOP = 127
_TOLERANCE = 2e-3
"""Relative distance of equal weights, as in `matching`."""

_SMALLEST = 1e-20
_LARGEST_BIAS = 2**30
"""Half the range of int32: the rest is for the sum of products."""

_FINEST = 1 / 128
"""Least step of an output, in steps of its sum; XNNPACK refuses to open a file with a ratio above 256."""


@dataclass(frozen=True)
class _Found:
    """A layer of the graph in the file."""

    layer: Layer
    rows_O: NDArray[np.float64]
    """Factor of each output channel's weights in the file."""

    outputs_O: NDArray[np.float64]
    """Factor of its outputs in the file."""

    bias_O: NDArray[np.float64]
    """The file's own; it may hold more than the layer's, such as the 3 of a hard-sigmoid."""

    shape: tuple[int, ...]
    """Of the file's weights."""


@dataclass(frozen=True)
class _Known:
    """Identified parts of a float file: operators by position, tensors by index."""

    steps: list[Step]
    matches: dict[int, Match]
    layers: dict[int, _Found]
    scalars: dict[int, float]
    input: str
    """Node of the normalised image."""

    @property
    def images(self) -> list[int]:
        """Tensors of the normalised image, or of a multiple."""
        return [tensor for tensor, match in self.matches.items() if match.node == self.input]


class TfliteQuantizer:
    """Writes quantized versions of one float file; its layers and tensors are identified once.

    Args:
        source: The float file.
        graph: The folded graph of the same network, as it was traced.
        probes_NHWC: A few images that identify its tensors by their values.

    Raises:
        AlreadyInteger: The file is not in float.
    """

    def __init__(self, source: Path, graph: fx.GraphModule, probes_NHWC: NDArray[np.uint8]) -> None:
        self._source = source
        self._names = {layer.node.name: layer.name for layer in layers_of(graph)}
        opened = FloatFile.read(source, probes_NHWC)
        if any(step.kind in ("QUANTIZE", "DEQUANTIZE") for step in opened.steps):
            raise AlreadyInteger(source)
        points = {node.name for node in rounded_points(graph)}
        nodes = {name: values for name, values in graph_tensors(graph, probes_NHWC).items() if name in points}
        matches = match_tensors(nodes, ((str(tensor), values) for tensor, values in opened.tensors.items()))
        self._known = _Known(
            steps=opened.steps,
            matches={int(tensor): match for tensor, match in matches.items()},
            layers=dict(_find_layers(graph, nodes, opened)),
            scalars={tensor: values.item() for tensor, values in opened.constants.items() if values.size == 1},
            input=input_point(graph).name,
        )

    def write(self, plan: Plan, contract: Contract, file: Path) -> tuple[str, ...]:
        """Write a plan with the contract embedded; returns the names of its layers that stay in float."""
        with self._edited(contract, file) as model:
            done = _Writer(model, self._known, _Choice(self._known, plan)).write()
        return tuple(self._names[node] for node in plan.layers if node not in done)

    def write_half(self, contract: Contract, file: Path) -> None:
        """Write a float file with weights in half precision."""
        with self._edited(contract, file) as model:
            graph = MixedGraph(model, {})
            for index in range(len(self._known.steps)):
                graph.add_half(index)
            graph.finish()

    @contextmanager
    def _edited(self, contract: Contract, file: Path) -> Iterator[Any]:
        """Open the source; on leaving, the changed model is written to a file with the contract embedded."""
        with edited_tflite(self._source, file) as model:
            yield model
            embed_in_tflite(model, contract)


def _find_layers(
    graph: fx.GraphModule, nodes: dict[str, NDArray[np.float32]], opened: FloatFile
) -> Iterator[tuple[int, _Found]]:
    """Find the operator of each layer: it has the layer's weights and reads the layer's input."""
    makers = {step.outputs[0]: step for step in opened.steps}
    free = list(layers_of(graph))
    for index, step in enumerate(opened.steps):
        if step.kind not in _LAYERS or not opened.constants.keys() >= {each for each in step.inputs[1:] if each >= 0}:
            continue
        stored = opened.constants[step.inputs[1]]
        for layer in free:
            rows_O = _row_factors(layer, stored.transpose(_AXES[step.kind]))
            root = root_of(layer.source).name
            factor = None if rows_O is None else _input_factor(opened, makers, step.inputs[0], {root: nodes[root]})
            if rows_O is not None and factor is not None:
                free.remove(layer)
                bias_O = sum(opened.constants[each].reshape(-1).astype(float) for each in step.inputs[2:] if each >= 0)
                yield index, _Found(layer, rows_O, rows_O * factor, bias_O + np.zeros(len(rows_O)), stored.shape)
                break


def _row_factors(layer: Layer, stored: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """The factor from each row of a layer's weights to a file's; None if they are different weights."""
    if len(layer.bias) != len(stored) or layer.weight.numel() != stored.size:
        return None
    own_OI, stored_OI = layer.weight.flatten(1).double().numpy(), stored.reshape(len(stored), -1).astype(float)
    squares_O = (own_OI**2).sum(1)
    rows_O: NDArray[np.float64] = np.where(
        squares_O > _SMALLEST, (own_OI * stored_OI).sum(1) / squares_O.clip(_SMALLEST), 1.0
    )
    rest = np.linalg.norm(rows_O[:, None] * own_OI - stored_OI)
    return rows_O if rest <= _TOLERANCE * np.linalg.norm(stored_OI) else None


def _input_factor(
    opened: FloatFile, makers: dict[int, Step], tensor: int, root: dict[str, NDArray[np.float32]]
) -> float | None:
    """The factor from a node's output to a tensor, or to the one whose values it repeats; None if they differ."""
    values = opened.tensors.get(tensor)
    match = None if values is None else match_tensors(root, [("", values)]).get("")
    if match:
        return match.factor
    maker = makers.get(tensor)
    return _input_factor(opened, makers, maker.inputs[0], root) if maker and maker.kind in _PASSING else None


class _Choice:
    """The form of a file under one plan: which operators compute with integers, and on which grids.

    Args:
        known: Identified parts of the file.
        plan: The plan.
    """

    def __init__(self, known: _Known, plan: Plan) -> None:
        self._known, self._plan = known, plan
        self.rounded = {
            index: plan.layers[found.layer.node.name]
            for index, found in known.layers.items()
            if found.layer.node.name in plan.layers
        }
        """The plan's layers, by the position of the operator."""
        first = [i for i in self.rounded if root_of(known.layers[i].layer.source).name == known.input]
        self.pixels = plan.pixels and any(self._planned(known.steps[i].outputs[0]) for i in first)
        """Whether the codes of the input are the pixels."""
        self.decoded = plan.activations == "float"
        """Whether layers compute in float, with weights that are decoded when the file is loaded."""
        if plan.pixels and not self.pixels:
            for index in first:  # its bias belongs to pixels with another mean
                del self.rounded[index]
        self.grids: dict[int, Grid] = {}
        """By tensor."""
        for index, step in enumerate(known.steps):
            if grid := self._grid(index, step):
                self.grids[step.outputs[0]] = grid
        self.integer = self._integer()
        """Operators from codes to codes, by position."""

    def _planned(self, tensor: int) -> Grid | None:
        """The grid that the plan has for a tensor."""
        match = self._known.matches.get(tensor)
        grid = self._plan.grids.get(match.node) if match else None
        return replace(grid, scale=grid.scale * match.factor) if match and grid else None

    def _grid(self, index: int, step: Step) -> Grid | None:
        """The grid of an operator's output."""
        if step.kind in _PASSING and step.inputs[0] in self.grids:
            return self.grids[step.inputs[0]]
        grid = self._planned(step.outputs[0])
        if grid is None or (self._plan.pixels and not self.pixels and step.outputs[0] in self._known.images):
            return None
        # A tensor that is zero for all calibration images has a tiny step, and runtimes refuse such ratios.
        return replace(grid, scale=max(grid.scale, _FINEST * self._summed_step(index, step)))

    def _summed_step(self, index: int, step: Step) -> float:
        """The largest step among an operator's summands; 0 if it computes no sum."""
        scales = [grid.scale for tensor in step.inputs if (grid := self.grids.get(tensor))]
        if index in self.rounded and scales:
            rows_O = np.abs(self._known.layers[index].rows_O)
            return float(scales[0] * (self.rounded[index].scales_O.numpy() * rows_O).max())
        return max(scales, default=0.0) if step.kind in ("ADD", "SUB") else 0.0

    def _integer(self) -> set[int]:
        able = {index: step for index, step in enumerate(self._known.steps) if self._can_be_integer(index, step)}
        codes: set[int] = set()  # tensors written or read as codes; operators that only move values follow either side
        for step in able.values():
            if step.kind not in _PASSING or step.inputs[0] in codes:
                codes.update(step.outputs)
        for step in reversed(able.values()):
            if step.kind not in _PASSING or step.outputs[0] in codes:
                codes.update(step.inputs)
        return {index for index, step in able.items() if step.kind not in _PASSING or step.outputs[0] in codes}

    def _can_be_integer(self, index: int, step: Step) -> bool:
        if step.kind not in _VERSIONS or step.outputs[0] not in self.grids:
            return False
        constants = self._known.scalars if step.kind == "MUL" else ()  # adding a tiny one would be lost
        read = step.inputs if step.kind in _JOINS else step.inputs[:1]
        if any(tensor not in self.grids and tensor not in constants for tensor in read):
            return False
        grid = self.grids[step.outputs[0]]
        if step.kind == "LOGISTIC":
            return grid == GATE
        if step.kind == "PADV2":
            return self._known.scalars[step.inputs[2]] <= -grid.zero_point * grid.scale
        return step.kind not in _LAYERS or index in self.rounded


class _Writer:
    """Rebuilds a file's graph, operator by operator.

    Args:
        model: The file's content, which is changed.
        known: Its identified parts.
        choice: Its form under the plan.
    """

    def __init__(self, model: Any, known: _Known, choice: _Choice) -> None:
        self._known, self._choice = known, choice
        self._graph = MixedGraph(model, choice.grids)

    def write(self) -> set[str]:
        """Rebuild the graph; returns the nodes of the layers with integer weights."""
        if self._choice.pixels:
            self._read_pixels(self._known.images[-1])
        done = set(self._choice.rounded)
        for index, step in enumerate(self._known.steps):
            if index in self._choice.integer and not self._graph.has_codes(step.outputs[0]):
                self._add_integer(index, step)
            elif index in self._choice.rounded and self._choice.decoded:
                self._add_decoded(index, step)
            elif index in self._choice.rounded and step.kind == "FULLY_CONNECTED":
                self._add_mixed(index, step)
            else:
                self._add_float(index, step)
                done.discard(index)
        self._graph.finish()
        return {self._known.layers[index].layer.node.name for index in done}

    def _read_pixels(self, tensor: int) -> None:
        """Feed the pixels to the network directly: they are the codes of its input."""
        (image,) = self._graph.inputs
        self._graph.set_pixels(image, self._choice.grids[tensor])
        # Via floats: XNNPACK cannot convert unsigned to signed codes.
        floats = self._graph.activation(tensor, "_pixels")
        self._graph.add(
            self._graph.operator("DEQUANTIZE", 1, [image], [floats]),
            self._graph.operator("QUANTIZE", 1, [floats], [self._graph.new_codes(tensor)]),
        )

    def _add_float(self, index: int, step: Step) -> None:
        """Append an operator unchanged."""
        inputs = [self._graph.floats(tensor) for tensor in step.inputs]
        self._graph.add_floats(self._graph.variant(index, 1, inputs, step.outputs))

    def _add_integer(self, index: int, step: Step) -> None:
        """Append an operator from codes to codes."""
        graph, source, output = self._graph, step.inputs[0], step.outputs[0]
        if step.kind in _LAYERS:
            self._add_layer(index, step)
        elif step.kind == "HARD_SWISH":
            graph.add_hard_swish(source, output)
        elif step.kind == "AVERAGE_POOL_2D":
            graph.add_average(index)
        elif step.kind == "PADV2":
            graph.add_padding(index)
        else:
            inputs = [graph.codes(source), *step.inputs[1:]]
            if step.kind == "CONCATENATION":
                inputs = [graph.codes(tensor, self._choice.grids[output]) for tensor in step.inputs]
            elif step.kind in _JOINS:
                inputs = [self._operand(tensor) for tensor in step.inputs]
            graph.add(graph.variant(index, _VERSIONS[step.kind], inputs, [graph.new_codes(output)]))

    def _operand(self, tensor: int) -> int:
        known = self._known.scalars
        return self._graph.codes(tensor) if tensor in self._choice.grids else self._graph.scalar(known[tensor])

    def _add_layer(self, index: int, step: Step) -> None:
        """Append a layer from codes to codes."""
        found, rounded = self._known.layers[index], self._choice.rounded[index]
        bias_O, name = _bias(found, rounded), found.layer.name
        scale = self._choice.grids[step.inputs[0]].scale
        codes, scales_O = _stored(step.kind, found, rounded, np.abs(bias_O) / (_LARGEST_BIAS * scale))
        steps_O = scales_O * scale
        weights = self._graph.constant(f"{name}.weight", codes, scales_O, _AXES[step.kind][0])
        bias = self._graph.constant(f"{name}.bias", np.rint(bias_O / steps_O).astype(np.int32), steps_O)
        inputs = [self._graph.codes(step.inputs[0]), weights, bias]
        outputs = [self._graph.new_codes(step.outputs[0])]
        self._graph.add(self._graph.variant(index, _VERSIONS[step.kind], inputs, outputs))

    def _add_mixed(self, index: int, step: Step) -> None:
        """Append a layer with integer weights and float outputs, such as logits."""
        found, rounded = self._known.layers[index], self._choice.rounded[index]
        codes, scales_O = _stored(step.kind, found, rounded, np.zeros(len(found.rows_O)))
        self._graph.add_mixed(index, found.layer.name, codes, scales_O, _bias(found, rounded))

    def _add_decoded(self, index: int, step: Step) -> None:
        """Append a float layer whose weights are stored as integers."""
        found, rounded = self._known.layers[index], self._choice.rounded[index]
        codes, scales_O = _stored(step.kind, found, rounded, np.zeros(len(found.rows_O)))
        weights = self._graph.constant(f"{found.layer.name}.weight", codes, scales_O, _AXES[step.kind][0])
        bias = self._graph.constant(f"{found.layer.name}.bias", _bias(found, rounded).astype(np.float32))
        inputs = [self._graph.floats(step.inputs[0]), self._graph.decoded(weights), bias]
        self._graph.add_floats(self._graph.variant(index, 1, inputs, step.outputs))


def _bias(found: _Found, rounded: RoundedLayer) -> NDArray[np.float64]:
    """A layer's new bias in the file."""
    shift_O = (rounded.bias_O - found.layer.bias).double().numpy()
    bias_O: NDArray[np.float64] = found.bias_O + shift_O * found.outputs_O
    return bias_O


def _stored(
    kind: str, found: _Found, rounded: RoundedLayer, least_O: NDArray[np.float64]
) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """A layer's weights in the file's order, and their steps, which are at least `least_O`.

    A channel with few different codes is spread over the whole range, which changes no weight: kernels without XNNPACK
    round twice, first by up to half a step of the sum.
    """
    axes = _AXES[kind]
    codes_OI = rounded.codes.double().numpy().reshape([found.shape[axis] for axis in axes])
    codes = codes_OI.transpose(np.argsort(axes))
    others = tuple(axis for axis in range(codes.ndim) if axis != axes[0])
    spread_O = _TOP // np.abs(codes).max(others).clip(1)
    given_O = rounded.scales_O.double().numpy() * found.rows_O
    scales_O = np.maximum(np.abs(given_O) / spread_O, least_O).clip(_SMALLEST)
    factor_O = np.expand_dims(given_O / scales_O, others)
    return np.rint(codes * factor_O).clip(-_TOP, _TOP).astype(np.int8), scales_O
