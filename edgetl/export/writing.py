"""Write one float file in one format."""

from pathlib import Path

import torch

from edgetl.devices.profiles import Target
from edgetl.export.tracing import traced
from edgetl.recipe.fields import Format
from edgetl.runner.contract import Contract
from edgetl.zoo.deployable import Deployable

__all__ = ["write_artifact"]


def write_artifact(
    name: Format,
    deployable: Deployable,
    contract: Contract,
    file: Path,
    target: Target,
    tflite_batch: int = 1,
    *,
    program: torch.export.ExportedProgram | None = None,
) -> None:
    """Write one float file; the formats other than TFLite take any batch.

    Args:
        name: The format.
        deployable: The network.
        contract: Is embedded in the file.
        file: To write.
        target: Where it will run.
        tflite_batch: Images of one call of a TFLite file.
        program: The traced network; None to trace it.

    Raises:
        ConfigError: The target's runtime is too old for the file.
    """
    # One import each, so that a missing extra of one format does not stop another.
    if name == "tflite":
        from edgetl.export.tflite import write_tflite

        write_tflite(deployable, contract, tflite_batch, file)
    elif name == "onnx":
        from edgetl.export.onnx import write_onnx

        write_onnx(program or traced(deployable, contract), contract, target, file)
    else:
        from edgetl.export.openvino import write_openvino

        write_openvino(program or traced(deployable, contract), contract, file)
