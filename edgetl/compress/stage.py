"""Write an integer version of every float artifact of the run."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgetl.artifact import write_atomic
from edgetl.compress.calibration import calibration_samples
from edgetl.data.index import read_index
from edgetl.environment import require
from edgetl.quiet import quiet
from edgetl.runner.contract import Contract
from edgetl.stage import StageContext, StageResult

__all__ = ["run"]


def run(context: StageContext) -> StageResult:
    """Quantize after training; writes `model.w8a8.*` and `calibration.json`, the images that set the ranges.

    Raises:
        RunFolderError: Nothing was exported yet.
    """
    config, contract = context.recipe.quantize, context.contract
    sources = [artifact for artifact in context.folder.artifacts() if artifact["precision"] == "fp32"]
    for source in sources:
        require(source["format"])
    index = read_index(context.folder)
    samples = calibration_samples(index, config.calibration_images, seed=context.recipe.seed)
    images_NHWC = contract.read([index.file(sample) for sample in samples])
    write_atomic(
        context.out / "calibration.json",
        json.dumps({"images": [{"path": s.path, "sha256": s.sha256} for s in samples]}, indent=1) + "\n",
    )
    artifacts = []
    with context.reporter.track(f"Quantizing to {config.scheme}", len(sources)) as advance:
        for source in sources:
            name = source["format"]
            file = context.out / source["file"].replace("fp32", config.scheme)
            advance(0, name)
            with context.reporter.library(f"{name} calibration"), quiet():
                _quantize(name, context.folder.file(source["file"]), images_NHWC, contract, file)
            artifacts.append({"file": file.name, "format": name, "precision": config.scheme})
            advance(1, name)
    return StageResult(details={"artifacts": artifacts, "calibration_images": len(samples)})


def _quantize(name: str, source: Path, images_NHWC: NDArray[np.uint8], contract: Contract, file: Path) -> None:
    # One import each, so that a missing extra of one format does not stop another.
    if name == "onnx":
        from edgetl.compress.onnx import quantize_onnx as quantize
    elif name == "tflite":
        from edgetl.compress.tflite import quantize_tflite as quantize
    else:
        from edgetl.compress.openvino import quantize_openvino as quantize
    quantize(source, images_NHWC, contract, file)
