"""Integer OpenVINO IR: a plan's integers, written into the file that was exported in float.

There a weight is an int8 constant that is scaled back to float, and a quantized activation passes a `FakeQuantize`. The
runtime turns these into integer operators when it loads the file.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import fx

from edgetl.errors import AlreadyInteger
from edgetl.export.embedding import embed_in_openvino
from edgetl.quantize.centre import normalisation
from edgetl.quantize.graph import layers_of
from edgetl.quantize.grids import Grid
from edgetl.quantize.matching import Match, graph_tensors, match_tensors, match_weight
from edgetl.quantize.plan import Plan, RoundedLayer
from edgetl.quantize.points import input_point
from edgetl.runner.contract import Contract
from edgetl.runner.telemetry import switch_off_telemetry

__all__ = ["OpenvinoQuantizer"]

_LAYERS = ("Convolution", "GroupConvolution", "MatMul")
_JOINS = ("Add", "Multiply", "Concat")
_POOLS = ("ReduceMean", "AvgPool")
_PASSING = ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Gather", "MaxPool", "Pad")
"""Operators that only move values of their first input."""


@dataclass(frozen=True)
class _Site:
    """A layer of the graph in the file."""

    operator: str
    bias_O: NDArray[np.float32]
    """The graph's bias; the file may hold it multiplied by `factor`."""

    factor: float
    """Of the layer's output."""

    weight_factor: float


class OpenvinoQuantizer:
    """Writes quantized versions of one float IR; its layers and tensors are identified once.

    Args:
        source: The float `.xml`.
        graph: The folded graph of the same network, as traced.
        probes_NHWC: A few images that identify its tensors by their values.

    Raises:
        AlreadyInteger: The file is not in float.
    """

    def __init__(self, source: Path, graph: fx.GraphModule, probes_NHWC: NDArray[np.uint8]) -> None:
        switch_off_telemetry()
        import openvino

        self._openvino = openvino
        self._model = openvino.Core().read_model(source)
        if any(each.get_type_name() == "FakeQuantize" for each in self._model.get_ops()):
            raise AlreadyInteger(source)
        tensors = _run(openvino, self._model.clone(), probes_NHWC)
        self._matches = match_tensors(graph_tensors(graph, probes_NHWC), tensors)
        self._names = {layer.node.name: layer.name for layer in layers_of(graph)}
        self._sites = dict(_sites(self._model, graph, self._matches))
        self._input = input_point(graph).name
        mean_C, std_C = normalisation(graph)
        self._scale_C: NDArray[np.float32] = (1 / std_C).numpy()
        self._shift_C: NDArray[np.float32] = (-mean_C / std_C).numpy()

    def write(self, plan: Plan, contract: Contract, file: Path) -> tuple[str, ...]:
        """Write a plan as `file` (.xml) and its `.bin`.

        A point of the plan is left out where no integer operator reads it, such as between a convolution and its SiLU,
        which the runtime computes in one go.

        Returns:
            Names of the plan's layers that the file lacks, or whose inputs it does not quantize.
        """
        model = self._model.clone()
        operators = {_name(each): each for each in model.get_ops()}
        layers = {node: operators[self._sites[node].operator] for node in plan.layers if node in self._sites}
        points = self._points(model, plan, {_name(layer) for layer in layers.values()})
        static = plan.activations == "static"
        integer = {node for node, each in layers.items() if not static or _has_values_of(each.input_value(0), points)}
        patch = _Patch(self._openvino.opset13, model)
        for key, output in points.items():
            self._round(patch, output, self._matches[key], plan)
        for node, layer in layers.items():
            patch.quantize(layer, self._sites[node], plan.layers[node])
        embed_in_openvino(model, contract)
        self._openvino.save_model(model, file, compress_to_fp16=False)
        return tuple(self._names[node] for node in plan.layers if node not in integer)

    def write_half(self, contract: Contract, file: Path) -> None:
        """Write the float graph with weights in half precision."""
        model = self._model.clone()
        embed_in_openvino(model, contract)
        self._openvino.save_model(model, file, compress_to_fp16=True)

    def _points(self, model: Any, plan: Plan, layers: set[str]) -> dict[str, Any]:
        """The outputs to quantize, by key."""
        points = {}
        for output in _float_outputs(model):
            match = self._matches.get(_key(output))
            grid = plan.grids.get(match.node) if match else None
            if grid and not _passed_on(output, self._matches) and _is_read(output, layers):
                points[_key(output)] = output
        return points

    def _round(self, patch: "_Patch", output: Any, match: Match, plan: Plan) -> None:
        grid = plan.grids[match.node]
        grid = replace(grid, scale=grid.scale * match.factor)
        if match.node != self._input:
            patch.round(output, grid)
        elif plan.pixels:
            patch.take_pixels(output, grid)
        else:
            factor = np.float32(match.factor)
            patch.round_image(output, grid, self._scale_C * factor, self._shift_C * factor)


class _Patch:
    """Changes to a copy of the float graph.

    Args:
        ops: OpenVINO's functions that make operators.
        model: What to change.
    """

    def __init__(self, ops: Any, model: Any) -> None:
        self._ops, self._image = ops, model.input()

    def round(self, output: Any, grid: Grid) -> None:
        """Insert a grid between a tensor and its readers."""
        readers = output.get_target_inputs()
        _connect(self._rounded(output, grid).output(0), readers)

    def take_pixels(self, output: Any, grid: Grid) -> None:
        """Write the normalisation in the form that the runtime recognises as dequantization of the pixels."""
        centred = self._ops.subtract(self._ops.convert(self._image, "f32"), np.float32(grid.zero_point))
        _connect(self._ops.multiply(centred, np.float32(grid.scale)).output(0), output.get_target_inputs())

    def round_image(self, output: Any, grid: Grid, scale_C: NDArray[np.float32], shift_C: NDArray[np.float32]) -> None:
        """Normalise whole rows at once; with rows of three channels the runtime is ten times slower."""
        height, width, channels = (size.get_length() for size in list(self._image.get_partial_shape())[1:])
        rows = self._ops.reshape(self._image, np.array([0, height, width * channels]), special_zero=True)
        scaled = self._ops.multiply(self._ops.convert(rows, "f32"), np.tile(scale_C, width))
        rounded = self._rounded(self._ops.add(scaled, np.tile(shift_C, width)), grid)
        image = self._ops.reshape(rounded, np.array([0, height, width, channels]), special_zero=True)
        _connect(image.output(0), output.get_target_inputs())

    def quantize(self, layer: Any, site: _Site, rounded: RoundedLayer) -> None:
        """Replace a layer's weights by integers, and adjust its bias."""
        codes, scales = _as_stored(layer, rounded.codes.numpy(), rounded.scales_O.numpy())
        weight = self._ops.convert(self._ops.constant(codes), "f32")
        _connect(self._ops.multiply(weight, scales * np.float32(site.weight_factor)).output(0), [layer.input(1)])
        shift = _along_output(layer, (rounded.bias_O.numpy() - site.bias_O) * site.factor)
        if (bias := _bias(layer)) is None:
            readers = layer.output(0).get_target_inputs()
            _connect(self._ops.add(layer, shift).output(0), readers)
        else:
            constant = bias.get_source_output().get_node()
            _connect(self._ops.constant(constant.data + shift).output(0), [bias])

    def _rounded(self, tensor: Any, grid: Grid) -> Any:
        low, high = (np.float32(grid.scale * (code - grid.zero_point)) for code in (0, grid.top))
        return self._ops.fake_quantize(tensor, low, high, low, high, grid.top + 1)


def _connect(output: Any, readers: Iterable[Any]) -> None:
    for reader in readers:
        reader.replace_source_output(output)


def _run(openvino: Any, model: Any, images_NHWC: NDArray[np.uint8]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Values of all float tensors for some images, with their keys."""
    outputs = list(_float_outputs(model))
    results = [openvino.opset13.result(output) for output in outputs]
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(openvino.Model(results, model.get_parameters()), "CPU", exact)
    values = compiled(images_NHWC)
    return ((_key(output), values[place]) for place, output in enumerate(outputs))


def _float_outputs(model: Any) -> Iterator[Any]:
    """All computed float outputs, in order."""
    for operator in model.get_ordered_ops():
        if operator.get_type_name() not in ("Constant", "Result"):
            yield from (each for each in operator.outputs() if each.get_element_type().get_type_name() == "f32")


def _key(output: Any) -> str:
    return f"{_name(output.get_node())}:{output.get_index()}"


def _name(operator: Any) -> str:
    name: str = operator.get_friendly_name()
    return name


def _sites(model: Any, graph: fx.GraphModule, matches: Mapping[str, Match]) -> Iterator[tuple[str, _Site]]:
    """Find the graph's layers, by node."""
    layers = {layer.node.name: layer for layer in layers_of(graph)}
    for operator in model.get_ordered_ops():
        if operator.get_type_name() not in _LAYERS or not _is_constant(operator.input_value(1)):
            continue
        # If the bias is small, both the product and the sum match the layer's output.
        sums = (bias.get_node(),) if (bias := _bias(operator)) else ()
        for match in (matches.get(_key(each.output(0))) for each in (operator, *sums)):
            layer = layers.get(match.node) if match else None
            weight = match_weight(layer, [("", _weight(operator))]) if layer else None
            if match and layer and weight:
                yield match.node, _Site(_name(operator), layer.bias.numpy().copy(), match.factor, weight[1])


def _bias(layer: Any) -> Any | None:
    """The input of the addition behind a layer that reads the bias; None if there is no bias."""
    readers = list(layer.output(0).get_target_inputs())
    if len(readers) != 1 or readers[0].get_node().get_type_name() != "Add":
        return None
    inputs = readers[0].get_node().inputs()
    return next((each for each in inputs if _is_constant(each.get_source_output())), None)


def _is_constant(output: Any) -> bool:
    return bool(output.get_node().get_type_name() == "Constant")


def _weight(layer: Any) -> NDArray[np.float32]:
    """`(O, ...)`."""
    stored: NDArray[np.float32] = layer.input_value(1).get_node().data
    return stored.reshape(-1, *stored.shape[2:]) if layer.get_type_name() == "GroupConvolution" else stored


def _as_stored(
    layer: Any, codes: NDArray[np.int8], scales_O: NDArray[np.float32]
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A layer's weights, and their scales, in the layout of the file."""
    shape = list(layer.input_value(1).get_shape())
    outputs = 2 if layer.get_type_name() == "GroupConvolution" else 1
    return codes.reshape(shape), scales_O.reshape(shape[:outputs] + [1] * (len(shape) - outputs))


def _along_output(layer: Any, values_O: NDArray[np.float32]) -> NDArray[np.float32]:
    """One value for each channel, in the shape that adds them to a layer's output."""
    rank = layer.get_output_partial_shape(0).rank.get_length()
    after = 0 if layer.get_type_name() == "MatMul" else rank - 2
    return values_O.reshape([1] * (rank - 1 - after) + [-1] + [1] * after)


def _is_read(output: Any, layers: set[str]) -> bool:
    """Whether an integer operator reads a tensor."""
    return any(_is_integer(each.get_node(), layers) for each in output.get_target_inputs())


def _is_integer(operator: Any, layers: set[str]) -> bool:
    """Whether an operator computes with codes, given the names of the quantized layers."""
    kind = operator.get_type_name()
    if kind in _PASSING:
        return _is_read(operator.output(0), layers)
    if kind in _JOINS:
        return not any(map(_is_constant, operator.input_values()))
    return kind in _POOLS or _name(operator) in layers


def _origins(output: Any) -> Iterator[Any]:
    """A tensor, and the tensors before it whose values it repeats."""
    yield output
    while output.get_node().get_type_name() in _PASSING:
        output = output.get_node().input_value(0)
        yield output


def _has_values_of(output: Any, points: Mapping[str, Any]) -> bool:
    return any(_key(each) in points for each in _origins(output))


def _passed_on(output: Any, matches: Mapping[str, Match]) -> bool:
    """Whether an output repeats a tensor that matches the same node of the graph."""
    node = matches[_key(output)].node
    before = (matches.get(_key(each)) for each in _origins(output) if each != output)
    return any(match and match.node == node for match in before)
