"""The graph in a `.tflite` file: the values that it computes, and how to replace it."""

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from edgetl.quantize.grids import Grid

__all__ = ["GATE", "FloatFile", "MixedGraph", "Step"]

GATE = Grid(1 / 256, 0)
"""From 0 to 1, as TFLite prescribes it for the output of LOGISTIC."""

_KINDS = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
_FLOAT = schema.TensorType.FLOAT32
_INT8 = schema.TensorType.INT8
_TYPES = {
    np.dtype(np.float32): _FLOAT,
    np.dtype(np.float16): schema.TensorType.FLOAT16,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int8): _INT8,
}
_TOP = 127


@dataclass(frozen=True)
class Step:
    """An operator: its name in the schema, such as `CONV_2D`, and its tensors; -1 if an optional one is missing."""

    kind: str
    inputs: list[int]
    outputs: list[int]


@dataclass(frozen=True)
class FloatFile:
    """Content and computed values of a file."""

    steps: list[Step]
    """In the order of execution."""

    tensors: dict[int, NDArray[np.float32]]
    """Float tensors computed for some images, in order of computation, if they are finite."""

    constants: dict[int, NDArray[np.float32]]
    """Float constants."""

    @classmethod
    def read(cls, file: Path, images_NHWC: NDArray[np.uint8]) -> "FloatFile":
        """Open a file and run it on images."""
        plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES  # a delegate hides its inner tensors
        opened = Interpreter(str(file), experimental_op_resolver_type=plain, experimental_preserve_all_tensors=True)
        opened.allocate_tensors()
        steps = [
            Step(each["op_name"], [int(i) for i in each["inputs"]], [int(i) for i in each["outputs"]])
            for each in opened._get_ops_details()
        ]
        computed = {tensor for step in steps for tensor in step.outputs}
        floats = {each["index"] for each in opened.get_tensor_details() if each["dtype"] is np.float32}
        held = {tensor for step in steps for tensor in step.inputs}.difference(computed).intersection(floats)
        tensors = _compute(opened, images_NHWC, [i for step in steps for i in step.outputs if i in floats])
        return cls(steps, tensors, {tensor: opened.get_tensor(tensor) for tensor in sorted(held)})


class _Graph:
    """The graph of a model with a single one, as LiteRT's converter for PyTorch writes it.

    Args:
        model: A `ModelT` of the schema; it is changed.
    """

    def __init__(self, model: Any) -> None:
        self._model, self._graph = model, model.subgraphs[0]
        self._codes = {(_KINDS[each.builtinCode], each.version): i for i, each in enumerate(model.operatorCodes)}
        self.inputs: list[int] = [int(tensor) for tensor in self._graph.inputs]
        """Tensors that the caller writes."""
        self.outputs: list[int] = [int(tensor) for tensor in self._graph.outputs]
        """Tensors that the caller reads."""

    def shape(self, tensor: int) -> tuple[int, ...]:
        """The shape of a tensor."""
        shape = self._graph.tensors[tensor].shape
        return () if shape is None else tuple(int(size) for size in shape)

    def constant(self, name: str, values: NDArray[Any], scales: Any = None, axis: int = 0) -> int:
        """Add a constant; codes have one scale, or one per entry along an axis."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        quantization = None if scales is None else _quantization(np.atleast_1d(scales), 0, axis)
        tensor = self._add(name, values.shape, _TYPES[values.dtype], quantization)
        self._graph.tensors[tensor].buffer = len(self._model.buffers) - 1
        return tensor

    def activation(self, like: int, suffix: str, grid: Grid | None = None) -> int:
        """Add a computed tensor with the shape of another one: codes of a grid, or floats."""
        name = self._graph.tensors[like].name
        name = f"{name.decode() if isinstance(name, bytes) else name}{suffix}"
        if grid is None:
            return self._add(name, self.shape(like), _FLOAT, None)
        return self._add(name, self.shape(like), _INT8, _of_grid(grid, 128))

    def set_pixels(self, tensor: int, grid: Grid) -> None:
        """Set the grid of an unsigned input."""
        self._graph.tensors[tensor].quantization = _of_grid(grid, 0)

    def operator(self, kind: str, version: int, inputs: list[int], outputs: list[int]) -> Any:
        """Make an operator with the schema's default options; it is not added to the graph."""
        made = schema.OperatorT()
        made.opcodeIndex = self._code(kind, version)
        made.inputs, made.outputs = inputs, outputs
        options = f"{kind.title().replace('_', '')}Options"
        made.builtinOptionsType = getattr(schema.BuiltinOptions, options)
        made.builtinOptions = getattr(schema, f"{options}T")()
        return made

    def variant(self, index: int, version: int, inputs: list[int], outputs: list[int]) -> Any:
        """Copy the operator at an index for other tensors, with at least this version."""
        made = copy(self._graph.operators[index])
        code = self._model.operatorCodes[made.opcodeIndex]
        if code.version < version:
            made.opcodeIndex = self._code(_KINDS[code.builtinCode], version)
        made.inputs, made.outputs, made.builtinOptions = inputs, outputs, copy(made.builtinOptions)
        return made

    def _ends(self, index: int) -> tuple[list[int], list[int]]:
        """Inputs and outputs of the operator at an index."""
        operator = self._graph.operators[index]
        return [int(tensor) for tensor in operator.inputs], [int(tensor) for tensor in operator.outputs]

    def _rewrite(self, operators: list[Any]) -> None:
        needed, kept = {*self.inputs, *self.outputs}, []
        for operator in reversed(operators):
            if needed.intersection(operator.outputs):
                kept.append(operator)
                needed.update(tensor for tensor in (*operator.inputs, *operator.outputs) if tensor >= 0)
        self._graph.operators = kept[::-1]
        self._keep_codes()
        self._keep_tensors(sorted(needed))
        self._keep_buffers()

    def _code(self, kind: str, version: int) -> int:
        if (kind, version) not in self._codes:
            code = schema.OperatorCodeT()
            code.builtinCode, code.version = getattr(schema.BuiltinOperator, kind), version
            code.deprecatedBuiltinCode = min(code.builtinCode, 127)  # a byte, which runtimes before 2020 read
            self._codes[kind, version] = len(self._model.operatorCodes)
            self._model.operatorCodes.append(code)
        return self._codes[kind, version]

    def _add(self, name: str, shape: Iterable[int], kind: int, quantization: Any) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.hasRank = name, np.array(shape, np.int32), True
        tensor.type, tensor.quantization = kind, quantization
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _keep_codes(self) -> None:
        kept = sorted({operator.opcodeIndex for operator in self._graph.operators})
        for operator in self._graph.operators:
            operator.opcodeIndex = kept.index(operator.opcodeIndex)
        self._model.operatorCodes = [self._model.operatorCodes[code] for code in kept]

    def _keep_tensors(self, kept: list[int]) -> None:
        place = {-1: -1} | {tensor: i for i, tensor in enumerate(kept)}
        for holder in (self._graph, *self._graph.operators):
            holder.inputs = [place[int(tensor)] for tensor in holder.inputs]
            holder.outputs = [place[int(tensor)] for tensor in holder.outputs]
        for signature in self._model.signatureDefs or []:
            for named in (*signature.inputs, *signature.outputs):
                named.tensorIndex = place[named.tensorIndex]
        self._graph.tensors = [self._graph.tensors[tensor] for tensor in kept]

    def _keep_buffers(self) -> None:
        holders = [*self._graph.tensors, *(self._model.metadata or [])]
        kept = sorted({0, *(holder.buffer for holder in holders)})  # the first one means "no content"
        place = {buffer: i for i, buffer in enumerate(kept)}
        for holder in holders:
            holder.buffer = place[holder.buffer]
        self._model.buffers = [self._model.buffers[buffer] for buffer in kept]


class MixedGraph(_Graph):
    """A graph that is rebuilt from its start, in which a tensor can exist as floats, as codes, or as both.

    Args:
        model: A `ModelT` of the schema; it is changed.
        grids: The grid of each tensor's codes.
    """

    def __init__(self, model: Any, grids: Mapping[int, Grid]) -> None:
        super().__init__(model)
        self._grids = grids
        self._made: list[Any] = []
        self._as_codes: dict[int, int] = {}
        self._as_floats: set[int] = set()
        self._halves: dict[int, int] = {}

    def add(self, *operators: Any) -> None:
        """Append operators."""
        self._made.extend(operators)

    def add_floats(self, operator: Any) -> None:
        """Append an operator that computes floats."""
        self._made.append(operator)
        self._as_floats.update(operator.outputs)

    def has_codes(self, tensor: int) -> bool:
        """Whether a tensor exists as codes."""
        return tensor in self._as_codes

    def new_codes(self, tensor: int) -> int:
        """Add a tensor for the codes that the next operator writes."""
        self._as_codes[tensor] = self.activation(tensor, "_codes", self._grids[tensor])
        return self._as_codes[tensor]

    def codes(self, tensor: int, grid: Grid | None = None) -> int:
        """A tensor's codes, converted to another grid if one is given."""
        if tensor not in self._as_codes:
            self.add(self.operator("QUANTIZE", 1, [tensor], [self.new_codes(tensor)]))
        if grid in (None, self._grids[tensor]):
            return self._as_codes[tensor]
        moved = self.activation(tensor, "_moved", grid)
        self.add(self.operator("QUANTIZE", 2, [self._as_codes[tensor]], [moved]))
        return moved

    def floats(self, tensor: int) -> int:
        """A tensor as floats; one that never was a float is returned unchanged."""
        if tensor in self._as_codes and tensor not in self._as_floats:
            self.add_floats(self.operator("DEQUANTIZE", 2, [self._as_codes[tensor]], [tensor]))
        return tensor

    def decoded(self, constant: int) -> int:
        """A constant decoded to floats; runtimes do this once, when they load the file."""
        floats = self.activation(constant, "_decoded")
        self.add(self.operator("DEQUANTIZE", 3, [constant], [floats]))
        return floats

    def add_half(self, index: int) -> None:
        """Append the operator at an index with weights stored in half precision."""
        inputs, outputs = self._ends(index)
        self.add_floats(self.variant(index, 1, [self._in_half(tensor) for tensor in inputs], outputs))

    def _in_half(self, tensor: int) -> int:
        """A tensor; a matrix or filter that half precision can hold is replaced by its decoded half."""
        stored = self._graph.tensors[tensor] if tensor >= 0 else None
        if stored is None or stored.type != _FLOAT or len(self.shape(tensor)) < 2:
            return tensor
        data = self._model.buffers[stored.buffer].data
        if tensor not in self._halves and data is not None and len(data):
            values = np.asarray(data, np.uint8).view(np.float32).reshape(self.shape(tensor))
            with np.errstate(over="ignore"):
                half = values.astype(np.float16)
            if np.isfinite(half).all():
                self._halves[tensor] = self.decoded(self.constant(f"{stored.name!s}_half", half))
        return self._halves.get(tensor, tensor)

    def scalar(self, value: float) -> int:
        """Add a constant with a grid of its own, which represents it exactly."""
        code = np.array(np.sign(value) * _TOP, np.int8)
        return self.constant("scalar", code, (abs(value) or 1.0) / _TOP)

    def add_hard_swish(self, source: int, output: int) -> None:
        """Append hard-swish as a product with a gate that its grid clamps: XNNPACK has no integer hard-swish."""
        sixfold = self.activation(output, "_gate6", Grid(6 * GATE.scale, GATE.zero_point))
        gate, values = self.activation(output, "_gate", GATE), self.codes(source)
        self.add(
            self.operator("ADD", 2, [values, self.scalar(3)], [sixfold]),
            self.operator("MUL", 3, [sixfold, self.scalar(1 / 6)], [gate]),
            self.operator("MUL", 3, [values, gate], [self.new_codes(output)]),
        )

    def add_average(self, index: int) -> None:
        """Append a pool as a depthwise convolution with equal weights: a pool would keep the grid of its input."""
        made = self.variant(index, 1, *self._ends(index))
        pool, ((source,), (output,)) = made.builtinOptions, self._ends(index)
        if pool.padding != schema.Padding.VALID:  # padding is not counted
            self.floats(source)
            return self.add_floats(made)
        shape = (1, pool.filterHeight, pool.filterWidth, self.shape(output)[3])
        steps_C = np.full(shape[3], 1 / (_TOP * pool.filterHeight * pool.filterWidth))
        weights = self.constant("average", np.full(shape, _TOP, np.int8), steps_C, 3)
        bias = self.constant("none", np.zeros(shape[3], np.int32), steps_C * self._grids[source].scale)
        made = self.operator("DEPTHWISE_CONV_2D", 3, [self.codes(source), weights, bias], [self.new_codes(output)])
        options = made.builtinOptions
        options.padding, options.fusedActivationFunction = pool.padding, pool.fusedActivationFunction
        options.strideH, options.strideW, options.depthMultiplier = pool.strideH, pool.strideW, 1
        return self.add(made)

    def add_padding(self, index: int) -> None:
        """Append the padding of a max pool with the least code; if that is zero, as PAD, which XNNPACK has."""
        (source, sizes, _), (output,) = self._ends(index)
        if self._grids[output].zero_point == 0:
            return self.add(self.operator("PAD", 2, [self.codes(source), sizes], [self.new_codes(output)]))
        least = self.constant("least", np.array(-128, np.int8))
        self._graph.tensors[least].quantization = _of_grid(self._grids[output], 128)
        return self.add(self.variant(index, 2, [self.codes(source), sizes, least], [self.new_codes(output)]))

    def add_mixed(
        self, index: int, name: str, codes: NDArray[np.int8], scales_O: NDArray[np.float64], bias_O: NDArray[np.float64]
    ) -> None:
        """Append a layer with integer weights and float outputs; the runtime quantizes its inputs for each image.

        Older runtimes have this kernel only with one scale for all weights, and silently use the first of several, so
        the scales are multiplied in behind it.
        """
        (source, *_), (output,) = self._ends(index)
        weights, scales = self.constant(f"{name}.weight", codes, 1.0), scales_O.astype(np.float32)
        sums, scaled = self.activation(output, "_sums"), self.activation(output, "_scaled")
        product = self.variant(index, 9, [self.floats(source), weights, -1], [sums])
        factor = self.operator("MUL", 1, [sums, self.constant(f"{name}.scale", scales)], [scaled])
        shift = self.operator("ADD", 1, [scaled, self.constant(f"{name}.bias", bias_O.astype(np.float32))], [output])
        shift.builtinOptions.fusedActivationFunction = product.builtinOptions.fusedActivationFunction
        product.builtinOptions.fusedActivationFunction = schema.ActivationFunctionType.NONE
        product.builtinOptions.asymmetricQuantizeInputs = True
        for operator in (product, factor, shift):
            self.add_floats(operator)

    def finish(self) -> None:
        """Replace the model's graph, without what no output needs."""
        for tensor in self.outputs:
            self.floats(tensor)
        self._rewrite(self._made)


def _compute(opened: Any, images_NHWC: NDArray[np.uint8], wanted: list[int]) -> dict[int, NDArray[np.float32]]:
    given = opened.get_input_details()[0]
    batch = int(given["shape"][0])
    # The file takes full batches only; images that fill the last one are dropped again.
    filled_NHWC = np.resize(images_NHWC, (-(-len(images_NHWC) // batch) * batch, *images_NHWC.shape[1:]))
    parts: dict[int, list[NDArray[np.float32]]] = {tensor: [] for tensor in wanted}
    for start in range(0, len(filled_NHWC), batch):
        opened.set_tensor(given["index"], filled_NHWC[start : start + batch])
        opened.invoke()
        for tensor, values in parts.items():
            values.append(np.atleast_1d(opened.get_tensor(tensor)))
    joined = {tensor: _by_image(np.concatenate(values), len(filled_NHWC)) for tensor, values in parts.items()}
    return {tensor: values[: len(images_NHWC)] for tensor, values in joined.items() if np.isfinite(values).all()}


def _by_image(values: NDArray[np.float32], images: int) -> NDArray[np.float32]:
    """A tensor with one entry per image; matrix products with several rows per image have all in the first axis."""
    rows, rest = divmod(len(values), images)
    return values if rest or rows <= 1 else values.reshape(images, rows, *values.shape[1:])


def _of_grid(grid: Grid, shift: int) -> Any:
    return _quantization(np.array([grid.scale]), grid.zero_point - shift, 0)


def _quantization(scales: NDArray[np.floating[Any]], zero_point: int, axis: int) -> Any:
    parameters = schema.QuantizationParametersT()
    parameters.scale = scales.astype(np.float32)
    parameters.zeroPoint = np.full(len(scales), zero_point, np.int64)
    parameters.quantizedDimension = axis
    return parameters
