"""Post-training quantization of OpenVINO IR with NNCF."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgetl.embedding import embed_in_openvino
from edgetl.runner.contract import Contract
from edgetl.runner.telemetry import switch_off_telemetry
from edgetl.zoo.torchvision_ops import ensure_torchvision

__all__ = ["quantize_openvino"]


def quantize_openvino(source: Path, images_NHWC: NDArray[np.uint8], contract: Contract, file: Path) -> None:
    """Write an integer version of a float `.xml`, as `file` (.xml) and its `.bin`."""
    ensure_torchvision()  # nncf imports torchvision when it finds torch
    switch_off_telemetry()
    import nncf
    import openvino

    model = openvino.Core().read_model(source)
    images = [images_NHWC[i : i + 1] for i in range(len(images_NHWC))]
    quantized = nncf.quantize(model, nncf.Dataset(images), subset_size=len(images))
    embed_in_openvino(quantized, contract)
    openvino.save_model(quantized, file, compress_to_fp16=False)
