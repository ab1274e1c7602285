"""A model of a few weights in every format, built in milliseconds, and images that it tells apart.

It takes `uint8 (N, 8, 8, 3)`, averages over the image, multiplies by a 3 x 4 matrix and ends in a softmax. The matrix
treats the channels differently, so that red and blue exchanged give other answers.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgetl.runner.contract import METADATA_KEY, Contract

SIDE = 8
LABELS = ("red", "green", "blue", "grey")
WEIGHTS_CK = np.array([[6.0, -2.0, -3.0, 0.5], [-2.0, 5.0, -1.0, 0.4], [-1.0, -3.0, 7.0, 0.3]], np.float32)
BIAS_K = np.array([0.1, -0.2, 0.05, 0.9], np.float32)
CONTRACT = Contract(labels=LABELS, height=SIDE, width=SIDE, resize="squash", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
FILE_OF_FORMAT = {"onnx": "model.onnx", "openvino": "model.xml", "tflite": "model.tflite"}


def reference(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the model says of `(N, 8, 8, 3)`: `(N, 4)`, computed in double precision."""
    means_NC = images.astype(np.float64).mean(axis=(1, 2)) / 255
    scores_NK = np.exp(means_NC @ WEIGHTS_CK.astype(np.float64) + BIAS_K)
    return (scores_NK / scores_NK.sum(axis=1, keepdims=True)).astype(np.float32)


def some_images(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Noise around a colour of each image's own, `(count, 8, 8, 3)`."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 200, size=(count, 1, 1, 3))
    return (colours + rng.integers(0, 56, size=(count, SIDE, SIDE, 3))).astype(np.uint8)


def write_images(folder: Path, images: NDArray[np.uint8]) -> list[Path]:
    """Write images as PNG, which loses nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{index:03}.png" for index in range(len(images))]
    for file, image in zip(files, images, strict=True):
        Image.fromarray(image).save(file)
    return files


def write_list(path: Path, files: list[Path]) -> Path:
    """Write the JSON array of paths that the runner reads."""
    path.write_text(json.dumps([str(file) for file in files]), encoding="utf-8")
    return path


def build(
    format_name: str, folder: Path, contract: str | None = CONTRACT.to_json(), name: str = "", **options: Any
) -> Path:
    """Write the model in one format with a contract embedded, and return the file that one opens."""
    path = folder / (name or FILE_OF_FORMAT[format_name])
    {"onnx": _onnx, "openvino": _openvino, "tflite": _tflite}[format_name](path, contract, **options)
    return path


def _onnx(path: Path, contract: str | None, dtype: str = "UINT8", softmax: bool = True) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Cast", ["image"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["f", "axes"], ["m"], keepdims=0),
        helper.make_node("Div", ["m", "scale"], ["s"]),
        helper.make_node("Gemm", ["s", "w", "b"], ["z"]),
        helper.make_node("Softmax" if softmax else "Identity", ["z"], ["p"]),
    ]
    constants = {"axes": np.array([1, 2]), "scale": np.float32(255).reshape(1), "w": WEIGHTS_CK, "b": BIAS_K}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", getattr(TensorProto, dtype), ["N", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["N", len(LABELS)])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    if contract is not None:
        helper.set_model_props(model, {METADATA_KEY: contract})
    onnx.save(model, str(path))


def _openvino(path: Path, contract: str | None, batch: int = -1) -> None:
    import openvino as ov
    from openvino import opset13 as ops

    image = ops.parameter([batch, SIDE, SIDE, 3], ov.Type.u8, name="image")
    means = ops.reduce_mean(ops.convert(image, "f32"), ops.constant([1, 2], ov.Type.i64))
    scaled = ops.divide(means, ops.constant(np.float32(255)))
    scores = ops.add(ops.matmul(scaled, ops.constant(WEIGHTS_CK), False, False), ops.constant(BIAS_K))
    model = ov.Model([ops.softmax(scores, 1)], [image], "tiny")
    if contract is not None:
        model.set_rt_info(contract, METADATA_KEY.split("."))
    ov.save_model(model, str(path), compress_to_fp16=False)


def _tflite(path: Path, contract: str | None, batch: int = 1, int8_output: bool = False) -> None:
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    made = _TfliteBuilder(schema)
    image = made.tensor("image", [batch, SIDE, SIDE, 3], schema.TensorType.UINT8)
    floats = made.tensor("floats", [batch, SIDE, SIDE, 3], schema.TensorType.FLOAT32)
    means = made.tensor("means", [batch, 3], schema.TensorType.FLOAT32)
    axes = made.tensor("axes", [2], schema.TensorType.INT32, np.array([1, 2], np.int32))
    weights_KC = np.ascontiguousarray(WEIGHTS_CK.T) / np.float32(255)
    weights = made.tensor("weights", [len(LABELS), 3], schema.TensorType.FLOAT32, weights_KC)
    bias = made.tensor("bias", [len(LABELS)], schema.TensorType.FLOAT32, BIAS_K)
    scores = made.tensor("scores", [batch, len(LABELS)], schema.TensorType.FLOAT32)
    last = made.tensor("probabilities", [batch, len(LABELS)], schema.TensorType.FLOAT32)
    builtin = schema.BuiltinOperator
    made.operator(builtin.CAST, [image], [floats])
    made.operator(builtin.MEAN, [floats, axes], [means], schema.BuiltinOptions.ReducerOptions, schema.ReducerOptionsT())
    options = schema.FullyConnectedOptionsT()
    made.operator(
        builtin.FULLY_CONNECTED, [means, weights, bias], [scores], schema.BuiltinOptions.FullyConnectedOptions, options
    )
    softmax = schema.SoftmaxOptionsT()
    softmax.beta = 1.0
    made.operator(builtin.SOFTMAX, [scores], [last], schema.BuiltinOptions.SoftmaxOptions, softmax)
    if int8_output:
        integers = made.tensor("integers", [batch, len(LABELS)], schema.TensorType.INT8)
        made.quantize(integers, scale=1 / 256, zero_point=-128)
        made.operator(builtin.QUANTIZE, [last], [integers])
        last = integers
    model = made.finish([image], [last], contract)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))


class _TfliteBuilder:
    """Collects tensors and operators of one graph."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._graph, self._model = schema.SubGraphT(), schema.ModelT()
        self._graph.tensors, self._graph.operators = [], []
        self._model.operatorCodes, self._model.buffers = [], [schema.BufferT()]

    def tensor(self, name: str, shape: list[int], kind: int, content: NDArray[Any] | None = None) -> int:
        tensor = self._schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name, shape, kind
        tensor.buffer = 0 if content is None else self._buffer(content.tobytes())
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def quantize(self, tensor: int, *, scale: float, zero_point: int) -> None:
        parameters = self._schema.QuantizationParametersT()
        parameters.scale, parameters.zeroPoint = [scale], [zero_point]
        self._graph.tensors[tensor].quantization = parameters

    def operator(self, code: int, inputs: list[int], outputs: list[int], kind: int = 0, options: Any = None) -> None:
        entry = self._schema.OperatorCodeT()
        entry.builtinCode = entry.deprecatedBuiltinCode = code
        entry.version = 1
        self._model.operatorCodes.append(entry)
        operator = self._schema.OperatorT()
        operator.opcodeIndex = len(self._model.operatorCodes) - 1
        operator.inputs, operator.outputs = inputs, outputs
        operator.builtinOptionsType, operator.builtinOptions = kind, options
        self._graph.operators.append(operator)

    def finish(self, inputs: list[int], outputs: list[int], contract: str | None) -> Any:
        self._graph.inputs, self._graph.outputs = inputs, outputs
        self._model.version, self._model.description, self._model.subgraphs = 3, "tiny", [self._graph]
        if contract is not None:
            entry = self._schema.MetadataT()
            entry.name, entry.buffer = METADATA_KEY, self._buffer(contract.encode())
            self._model.metadata = [entry]
        return self._model

    def _buffer(self, content: bytes) -> int:
        buffer = self._schema.BufferT()
        buffer.data = np.frombuffer(content, np.uint8)
        self._model.buffers.append(buffer)
        return len(self._model.buffers) - 1
