"""What a run folder holds for the report; anything missing is None, never made up."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetl.bench.timings import read_timings
from edgetl.distill.paired import Gain
from edgetl.distill.schema import read_gain
from edgetl.explain.schema import read_reasons
from edgetl.prune.schema import read_widths
from edgetl.quantize.schema import read_receipt
from edgetl.runs.folder import RunFolder
from edgetl.runs.stage import StageContext
from edgetl.train.schema import read_epochs
from edgetl.verify.schema import read_answers, read_proof

__all__ = ["Sources", "read_sources"]


@dataclass(frozen=True)
class Sources:
    """The files that the page is made from, as plain data."""

    verify: dict[str, Any] | None
    bench: dict[str, Any] | None
    quantize: dict[str, Any] | None
    explain: dict[str, Any] | None
    control: Gain | None
    prune: dict[str, Any] | None
    student_epochs: list[dict[str, Any]]
    """One entry per epoch, in order; empty if the student was not trained here."""

    teacher_epochs: list[dict[str, Any]]
    """The same for the teacher; empty if there is none."""

    teacher: RunFolder | None
    unpruned: RunFolder | None
    """The run of the student before pruning, if pruning was asked for."""

    predictions: dict[str, NDArray[np.float32]] | None
    """Probabilities `(N, K)` of the test split by artifact file, and by `reference` those of the student in PyTorch."""


def read_sources(context: StageContext) -> Sources:
    """Read everything that earlier stages left in the run folder.

    Raises:
        DamagedFile: A file is not what its stage wrote.
    """
    folder, unpruned = context.folder, context.unpruned
    teacher = context.teachers[0] if context.teachers else None
    return Sources(
        verify=read_proof(folder),
        bench=read_timings(folder),
        quantize=read_receipt(folder),
        explain=read_reasons(folder),
        control=read_gain(folder),
        prune=read_widths(unpruned) if unpruned else None,
        student_epochs=read_epochs(folder),
        teacher_epochs=read_epochs(teacher) if teacher else [],
        teacher=teacher,
        unpruned=unpruned,
        predictions=read_answers(folder),
    )
