"""Write one float file in one format."""

from pathlib import Path

from edgetl.devices.profiles import Target
from edgetl.export.tracing import traced
from edgetl.recipe.fields import Format
from edgetl.runner.contract import Contract
from edgetl.zoo.deployable import Deployable

__all__ = ["write_artifact"]


def write_artifact(
    name: Format, deployable: Deployable, contract: Contract, file: Path, target: Target, tflite_batch: int = 1
) -> None:
    """Write one float file; the formats other than TFLite take any batch."""
    # One import each, so that a missing extra of one format does not stop another.
    if name == "tflite":
        from edgetl.export.tflite import write_tflite

        write_tflite(deployable, contract, tflite_batch, file)
    elif name == "onnx":
        from edgetl.export.onnx import write_onnx

        write_onnx(traced(deployable, contract), contract, target, file)
    else:
        from edgetl.export.openvino import write_openvino

        write_openvino(traced(deployable, contract), contract, file)
