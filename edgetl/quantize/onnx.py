"""Integer ONNX: a plan's integers, written into the file that was exported in float.

Weights are int8 constants, and a quantized tensor passes a pair of operators (QDQ). When ONNX Runtime loads the file,
it fuses a layer and the pairs around it into an integer kernel.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
from torch import fx

from edgetl.errors import AlreadyInteger
from edgetl.export.embedding import embed_in_onnx
from edgetl.quantize.graph import Layer, layers_of
from edgetl.quantize.grids import Grid
from edgetl.quantize.matching import Match, graph_tensors, match_tensors, match_weight
from edgetl.quantize.plan import Plan, RoundedLayer
from edgetl.quantize.points import input_point
from edgetl.runner.contract import Contract
from edgetl.runner.telemetry import switch_off_telemetry

__all__ = ["OnnxQuantizer"]

_IMAGE = "image"
_LAYERS = ("Conv", "Gemm", "MatMul")
_LEAST_DIMENSIONS = 2
"""Of constants that are halved; biases and scales are small, and their errors count at every position."""

_DYNAMIC = ("codes", "step", "zero", "sums", "floats", "steps")
_INTEGER = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "ConvInteger")


class OnnxQuantizer:
    """Writes quantized versions of one float file; its layers and tensors are identified once.

    Args:
        source: The float file.
        graph: The folded graph of the same network, as it was traced.
        probes_NHWC: A few images that identify its tensors by their values.

    Raises:
        AlreadyInteger: The file is not in float.
    """

    def __init__(self, source: Path, graph: fx.GraphModule, probes_NHWC: NDArray[np.uint8]) -> None:
        self._model = onnx.load_model(source)
        if any(node.op_type in _INTEGER for node in self._model.graph.node):
            raise AlreadyInteger(source)
        _pool_globally(self._model)
        self._constants = {each.name: numpy_helper.to_array(each) for each in self._model.graph.initializer}
        self._matches = match_tensors(graph_tensors(graph, probes_NHWC), _tensors(self._model, probes_NHWC))
        self._input = input_point(graph).name
        self._found = dict(self._find_layers(graph))
        self._layers = {layer.node.name: layer for layer in layers_of(graph)}

    def write(self, plan: Plan, contract: Contract, file: Path) -> tuple[str, ...]:
        """Write a plan as `file`; returns the names of its layers that stay in float because the source lacks them."""
        model = ModelProto()
        model.CopyFrom(self._model)
        edit = _Edit(model, self._matches, plan)
        if plan.pixels:
            edit.read_pixels(self._input)
        missing = []
        for name, rounded in plan.layers.items():
            if name in self._found:
                node, weight, factor = self._found[name]
                edit.round_layer(node, weight, factor, rounded, self._layers[name])
            else:
                missing.append(self._layers[name].name)
        edit.finish()
        _save(model, contract, file)
        return tuple(missing)

    def write_half(self, contract: Contract, file: Path) -> None:
        """Write a float file with weights in half precision, which the runtime decodes when it loads the file."""
        model = ModelProto()
        model.CopyFrom(self._model)
        decoding = list(_halved(model.graph))
        nodes = list(model.graph.node)
        del model.graph.node[:]
        model.graph.node.extend([*decoding, *nodes])
        _save(model, contract, file)

    def _find_layers(self, graph: fx.GraphModule) -> Iterator[tuple[str, tuple[str, str, float]]]:
        """For each layer: the file's node (by its output), the constant with its weights, and their factor."""
        free = {
            node.output[0]: (node.input[1], values.T if node.op_type == "MatMul" else values)
            for node in self._model.graph.node
            if node.op_type in _LAYERS and (values := self._constants.get(node.input[1])) is not None
        }
        for layer in layers_of(graph):
            if found := match_weight(layer, ((output, values) for output, (_, values) in free.items())):
                output, factor = found
                yield layer.node.name, (output, free.pop(output)[0], factor)


def _save(model: ModelProto, contract: Contract, file: Path) -> None:
    embed_in_onnx(model, contract)
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, file)


def _halved(graph: GraphProto) -> Iterator[NodeProto]:
    """Store matrices and filters in half precision if it can hold them; yields the operators that decode them."""
    for constant in graph.initializer:
        values, name = numpy_helper.to_array(constant), constant.name
        if values.dtype != np.float32 or values.ndim < _LEAST_DIMENSIONS:
            continue
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if np.isfinite(half).all():
            constant.CopyFrom(numpy_helper.from_array(half, f"{name}_half"))
            yield helper.make_node("Cast", [constant.name], [name], to=TensorProto.FLOAT)


def _pool_globally(model: ModelProto) -> None:
    """Replace means over rows and columns by global pools, which have an integer kernel."""
    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    for node in model.graph.node:
        axes = constants.get(node.input[1]) if node.op_type == "ReduceMean" and len(node.input) > 1 else None
        if axes is not None and sorted(axes % 4) == [2, 3] and _attribute(node, "keepdims", 1):
            node.CopyFrom(helper.make_node("GlobalAveragePool", [node.input[0]], list(node.output), name=node.name))
    _drop_unread(model.graph)


def _drop_unread(graph: GraphProto) -> None:
    read = {name for node in graph.node for name in node.input}
    kept = [each for each in graph.initializer if each.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _attribute(node: NodeProto, name: str, default: int) -> int:
    return next((each.i for each in node.attribute if each.name == name), default)


def _tensors(model: ModelProto, images_NHWC: NDArray[np.uint8]) -> list[tuple[str, NDArray[np.float32]]]:
    """Every float tensor that the file computes for images, in order."""
    switch_off_telemetry()
    import onnxruntime

    shown = ModelProto()
    shown.CopyFrom(onnx.shape_inference.infer_shapes(model))
    known = (*shown.graph.value_info, *shown.graph.output)
    floats = {each.name for each in known if each.type.tensor_type.elem_type == TensorProto.FLOAT}
    names = [name for node in shown.graph.node for name in node.output if name in floats]
    del shown.graph.output[:]
    shown.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = onnxruntime.InferenceSession(shown.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(zip(names, session.run(names, {session.get_inputs()[0].name: images_NHWC}), strict=True))


class _Edit:
    """Writes a plan into a model, layer by layer and tensor by tensor."""

    def __init__(self, model: ModelProto, matches: dict[str, Match], plan: Plan) -> None:
        self._graph = model.graph
        self._matches = matches
        self._dynamic = plan.activations == "dynamic"
        self._makers = {name: node for node in model.graph.node for name in node.output}
        self._constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
        self._grids = {
            name: Grid(grid.scale * match.factor, grid.zero_point)
            for name, match in matches.items()
            if (grid := plan.grids.get(match.node))
        }
        self._before: dict[str, list[NodeProto]] = {}
        self._pixels: str | None = None

    def read_pixels(self, point: str) -> None:
        """Feed the pixels to the network directly: they are the codes of its input."""
        *earlier, last = (name for name, match in self._matches.items() if match.node == point)
        for name in earlier:
            self._grids.pop(name, None)
        mover = self._makers[last]
        assert mover.op_type == "Transpose"
        mover.input[0] = _IMAGE
        self._pixels = last

    def round_layer(self, output: str, weight: str, factor: float, rounded: RoundedLayer, layer: Layer) -> None:
        """Replace a layer's weights by integers, and its bias by integers in the scale of its sums."""
        node = self._makers[output]
        source = node.input[0]
        steps_O = rounded.scales_O.numpy() * np.float32(factor)
        shift_O = (rounded.bias_O - layer.bias).numpy() * np.float32(factor * self._factor(source))
        if self._dynamic:
            self._round_dynamically(node, weight, rounded.codes.numpy().T, steps_O, shift_O)
            return
        if node.op_type == "MatMul":
            product = self._shifted(node, shift_O)
            node.input[1] = self._store(product, f"{weight}_codes", rounded.codes.numpy().T, steps_O, 1)
            return
        node.input[1] = self._store(output, f"{weight}_codes", rounded.codes.numpy(), steps_O, 0)
        bias_O = self._bias(node) + shift_O
        if grid := self._grids.get(source):  # the runtime's integer kernels need an integer bias
            sums_O = steps_O * np.float32(grid.scale)
            codes_O = np.rint(bias_O / sums_O).clip(-(2**31), 2**31 - 1).astype(np.int32)
            bias = self._store(output, f"{weight}_bias_codes", codes_O, sums_O, 0)
        else:
            bias = self._keep(f"{weight}_bias", bias_O)
        del node.input[2:]
        node.input.append(bias)

    def _round_dynamically(
        self,
        node: NodeProto,
        weight: str,
        codes_IO: NDArray[np.int8],
        steps_O: NDArray[np.float32],
        shift_O: NDArray[np.float32],
    ) -> None:
        """Replace a matrix product by operators that the runtime fuses into one with dynamically quantized inputs."""
        source, output, adds = node.input[0], node.output[0], node.op_type == "Gemm"
        output = output if adds else self._shifted(node, shift_O)
        codes, scale, zero, sums, floats, steps = (f"{output}_{name}" for name in _DYNAMIC)
        stored = self._keep(f"{weight}_codes", np.ascontiguousarray(codes_IO))
        scales = self._keep(f"{weight}_scale", steps_O)
        scaled = f"{output}_scaled" if adds else output
        *before, last = [
            helper.make_node("DynamicQuantizeLinear", [source], [codes, scale, zero]),
            helper.make_node("MatMulInteger", [codes, stored, zero], [sums]),
            helper.make_node("Cast", [sums], [floats], to=TensorProto.FLOAT),
            helper.make_node("Mul", [scale, scales], [steps]),
            helper.make_node("Mul", [floats, steps], [scaled]),
        ]
        if adds:
            bias = self._keep(f"{weight}_bias", self._bias(node) + shift_O)
            before, last = [*before, last], helper.make_node("Add", [scaled, bias], [output])
        self._before[output] = before
        node.CopyFrom(last)

    def finish(self) -> None:
        """Insert the pairs, and remove what is no longer read."""
        nodes: list[NodeProto] = []
        for node in self._graph.node:
            is_float_layer = node.op_type in _LAYERS and node.input[1] in self._constants
            for index, name in enumerate(node.input):
                if name in self._grids:
                    node.input[index] = f"{name}_rounded"
                    nodes += self._hidden(node) if is_float_layer else []
            nodes += [*self._before.get(node.output[0], []), node]
            for name in node.output:
                if grid := self._grids.get(name):
                    nodes += self._pair(node, name, grid)
        del self._graph.node[:]
        self._graph.node.extend(_needed(nodes, {each.name for each in self._graph.output}))
        _drop_unread(self._graph)
        del self._graph.value_info[:]

    def _hidden(self, node: NodeProto) -> list[NodeProto]:
        """A sum of one tensor before a float layer; without it the runtime quantizes a layer between pairs."""
        source, node.input[0] = node.input[0], f"{node.output[0]}_source"
        return [helper.make_node("Sum", [source], [node.input[0]])]

    def _pair(self, node: NodeProto, name: str, grid: Grid) -> list[NodeProto]:
        scale = self._keep(f"{name}_scale", np.float32(grid.scale))
        zero = self._keep(f"{name}_zero_point", np.uint8(grid.zero_point))
        codes = f"{name}_codes"
        if name == self._pixels:
            node.output[0] = codes
            return [helper.make_node("DequantizeLinear", [codes, scale, zero], [f"{name}_rounded"])]
        return [
            helper.make_node("QuantizeLinear", [name, scale, zero], [codes]),
            helper.make_node("DequantizeLinear", [codes, scale, zero], [f"{name}_rounded"]),
        ]

    def _store(self, reader: str, name: str, codes: NDArray[Any], steps_O: NDArray[np.float32], axis: int) -> str:
        """Store integers; returns the name of their dequantized values."""
        inputs = [
            self._keep(name, np.ascontiguousarray(codes)),
            self._keep(f"{name}_scale", steps_O),
            self._keep(f"{name}_zero_point", np.zeros(len(steps_O), codes.dtype)),
        ]
        output = f"{name}_rounded"
        self._before.setdefault(reader, []).append(helper.make_node("DequantizeLinear", inputs, [output], axis=axis))
        return output

    def _keep(self, name: str, values: NDArray[Any] | np.generic) -> str:
        while name in self._constants:  # the exporter has names like ours
            name += "_new"
        self._graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def _bias(self, node: NodeProto) -> Any:
        return self._constants[node.input[2]] if len(node.input) > 2 else np.float32(0)

    def _factor(self, name: str) -> float:
        match = self._matches.get(name)
        return match.factor if match else 1.0

    def _shifted(self, product: NodeProto, shift_O: NDArray[np.float32]) -> str:
        """Add to the bias behind a matrix product, or add one if there is none; returns the name of its output then."""
        output: str = product.output[0]
        for adder in (node for node in self._graph.node if node.op_type == "Add" and output in node.input):
            for index, name in enumerate(adder.input):
                if name in self._constants and self._constants[name].ndim == 1:
                    adder.input[index] = self._keep(f"{output}_bias", self._constants[name] + shift_O)
                    return output
        product.output[0] = inner = f"{output}_product"
        added = helper.make_node("Add", [inner, self._keep(f"{output}_bias", shift_O)], [output])
        self._graph.node.insert(list(self._graph.node).index(product) + 1, added)
        return inner


def _needed(nodes: list[NodeProto], outputs: set[str]) -> list[NodeProto]:
    """The nodes on which the outputs depend, in the same order."""
    read, kept = set(outputs), []
    for node in reversed(nodes):
        if read.intersection(node.output):
            read.update(node.input)
            kept.append(node)
    return kept[::-1]
