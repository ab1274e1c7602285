"""Write the float artifacts of every format that the target runs."""

from pathlib import Path
from tempfile import gettempdir

from edgetl.export.estimate import conversion_seconds
from edgetl.export.formats import SUFFIX, chosen_formats
from edgetl.export.tracing import traced
from edgetl.export.writing import write_artifact
from edgetl.runs.artifact import EXACT, Artifact
from edgetl.runs.disk import check_room
from edgetl.runs.folder import WEIGHTS_FILE
from edgetl.runs.quiet import quiet
from edgetl.runs.stage import StageContext, StageResult
from edgetl.zoo.deployable import load_deployable

__all__ = ["run"]

_ROOM = 4
"""Times the weights that must be free: the formats and what converters write beside them."""


def run(context: StageContext) -> StageResult:
    """Export the run's weights; writes `model.fp32.*` and records them as artifacts.

    Raises:
        RunFolderError: The run has no trained weights.
        ConfigError: The target does not run one of the formats, or is too old for its file.
    """
    formats = chosen_formats(context.recipe.export, context.target)
    deployable, contract = load_deployable(context.folder), context.contract
    weights_bytes = context.folder.file(WEIGHTS_FILE).stat().st_size
    for place in (context.out, Path(gettempdir())):
        check_room(place, _ROOM * weights_bytes)
    with context.reporter.library("tracing"), quiet():
        program = traced(deployable, contract)
        seconds = conversion_seconds(program, formats)
    context.reporter.expect(seconds)
    artifacts = []
    with context.reporter.track("Exporting", len(formats)) as advance:
        for name in formats:
            file = context.out / f"model.{EXACT}{SUFFIX[name]}"
            advance(0, name)
            with context.reporter.library(f"{name} conversion"), quiet():
                batch = context.recipe.export.tflite_batch
                write_artifact(name, deployable, contract, file, context.target, batch, program=program)
            artifacts.append(Artifact.made(file, name, EXACT))
            advance(1, name)
    return StageResult(artifacts=tuple(artifacts))
