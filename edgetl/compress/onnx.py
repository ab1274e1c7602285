"""Post-training quantization of ONNX with ONNX Runtime."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from edgetl.embedding import embed_in_onnx
from edgetl.runner.contract import Contract

__all__ = ["quantize_onnx"]

_BATCH = 16


class _Images(CalibrationDataReader):  # type: ignore[misc]  # the library has no types
    def __init__(self, name: str, images_NHWC: NDArray[np.uint8]) -> None:
        chunks = range(0, len(images_NHWC), _BATCH)
        self._feeds: Iterator[dict[str, NDArray[np.uint8]]] = iter(
            [{name: images_NHWC[i : i + _BATCH]} for i in chunks]
        )

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        return next(self._feeds, None)


def quantize_onnx(source: Path, images_NHWC: NDArray[np.uint8], contract: Contract, file: Path) -> None:
    """Write an integer version of a float ONNX file, with quantize and dequantize pairs (QDQ).

    Weights get 7 bits per channel: 8-bit products overflow 16-bit sums on x86 without VNNI, so a file with full-range
    weights is right on one CPU and wrong on the next. The softmax stays in float.
    """
    graph = onnx.load_model(source).graph
    quantize_static(
        source,
        file,
        _Images(graph.input[0].name, images_NHWC),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=[node.name for node in graph.node if node.op_type == "Softmax"],
    )
    model = onnx.load_model(file)
    embed_in_onnx(model, contract)
    onnx.save_model(model, file)
