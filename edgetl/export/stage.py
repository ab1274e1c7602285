"""Write the float artifacts of every format that the target runs."""

from pathlib import Path

import torch

from edgetl.config import Format
from edgetl.environment import require
from edgetl.errors import ConfigError
from edgetl.quiet import quiet
from edgetl.runner.contract import Contract
from edgetl.stage import StageContext, StageResult
from edgetl.targets import Target
from edgetl.zoo.deployable import Deployable, load_deployable

__all__ = ["SUFFIX", "chosen_formats", "run", "write_artifact"]

SUFFIX: dict[Format, str] = {"onnx": ".onnx", "tflite": ".tflite", "openvino": ".xml"}


def run(context: StageContext) -> StageResult:
    """Export the run's weights; writes `model.fp32.*` and records them as `artifacts`."""
    formats = chosen_formats(context)
    for name in formats:
        require(name)
    deployable, contract = load_deployable(context.folder), context.contract
    artifacts = []
    with context.reporter.track("Exporting", len(formats)) as advance:
        for name in formats:
            file = context.out / f"model.fp32{SUFFIX[name]}"
            advance(0, name)
            with context.reporter.library(f"{name} conversion"), quiet():
                write_artifact(name, deployable, contract, file, context.target, context.recipe.export.tflite_batch)
            artifacts.append({"file": file.name, "format": name, "precision": "fp32"})
            advance(1, name)
    return StageResult(details={"artifacts": artifacts, "target": context.target.name})


def chosen_formats(context: StageContext) -> tuple[Format, ...]:
    """The formats that the recipe asks for.

    Raises:
        ConfigError: One of them is not in the target's profile.
    """
    wanted, target = context.recipe.export.formats, context.target
    if wanted == "auto":
        return target.formats
    for name in wanted:
        if name not in target.formats:
            raise ConfigError(
                "export.formats", f"{target.name} does not run {name}; it runs {', '.join(target.formats)}"
            )
    return wanted


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

        write_onnx(_traced(deployable, contract), contract, target, file)
    else:
        from edgetl.export.openvino import write_openvino

        write_openvino(_traced(deployable, contract), contract, file)


def _traced(deployable: Deployable, contract: Contract) -> torch.export.ExportedProgram:
    """Trace the graph for any batch size."""
    example = torch.zeros(2, contract.height, contract.width, 3, dtype=torch.uint8)
    batch = torch.export.Dim("N", min=1, max=1 << 16)
    return torch.export.export(deployable, (example,), dynamic_shapes={"image": {0: batch}})
