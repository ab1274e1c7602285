"""Post-training quantization by the libraries of the field, each in the settings that its makers publish.

Every function takes a float file, calibration images `(N, H, W, 3)`, and the file to write.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["PEERS"]

Images = NDArray[np.uint8]
Peer = Callable[[Path, Images, Path], None]


def _onnxruntime(**options: Any) -> Peer:
    def quantize(source: Path, images_NHWC: Images, file: Path) -> None:
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        class Reader(CalibrationDataReader):  # type: ignore[misc]  # the library has no types
            def __init__(self) -> None:
                self._feeds: Iterator[dict[str, Images]] = iter({"image": image[None]} for image in images_NHWC)

            def get_next(self) -> dict[str, Images] | None:
                return next(self._feeds, None)

        settings = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8, **options}
        prepared = file.with_suffix(".prepared.onnx")
        quant_pre_process(source, prepared)
        quantize_static(prepared, file, Reader(), quant_format=QuantFormat.QDQ, **settings)

    return quantize


def _onnxruntime_unsigned(source: Path, images_NHWC: Images, file: Path) -> None:
    from onnxruntime.quantization import QuantType

    _onnxruntime(weight_type=QuantType.QUInt8)(source, images_NHWC, file)


def _nncf(source: Path, images_NHWC: Images, file: Path) -> None:
    import nncf
    import openvino

    model = openvino.Core().read_model(source)
    data = nncf.Dataset([image[None] for image in images_NHWC])
    openvino.save_model(nncf.quantize(model, data, subset_size=len(images_NHWC)), file, compress_to_fp16=False)


def _nncf_accurate(source: Path, images_NHWC: Images, file: Path) -> None:
    import nncf
    import openvino

    model = openvino.Core().read_model(source)
    data = nncf.Dataset([image[None] for image in images_NHWC])
    settings = {"preset": nncf.QuantizationPreset.MIXED, "fast_bias_correction": False}
    quantized = nncf.quantize(model, data, subset_size=len(images_NHWC), **settings)
    openvino.save_model(quantized, file, compress_to_fp16=False)


def _ai_edge(source: Path, images_NHWC: Images, file: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import quantizer, recipe

    ((key, names),) = Interpreter(str(source)).get_signature_list().items()
    feeds = [{names["inputs"][0]: image[None]} for image in images_NHWC]
    work = quantizer.Quantizer(str(source))
    work.load_quantization_recipe(recipe.static_wi8_ai8())
    work.quantize(work.calibrate({key: feeds})).export_model(str(file), overwrite=True)


PEERS: dict[str, dict[str, Peer]] = {
    "onnx": {
        "onnxruntime default": _onnxruntime(),
        "onnxruntime per channel": _onnxruntime(per_channel=True),
        "onnxruntime per channel, 7 bits": _onnxruntime(per_channel=True, reduce_range=True),
        "onnxruntime U8U8": _onnxruntime_unsigned,
    },
    "openvino": {"nncf default": _nncf, "nncf mixed, full bias correction": _nncf_accurate},
    "tflite": {"ai-edge-quantizer static": _ai_edge},
}
"""By format and name."""
