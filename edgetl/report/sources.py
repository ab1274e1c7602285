"""What a run folder has to tell; what is not there is None, never made up."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetl.bench.timings import read_timings
from edgetl.quantize.schema import read_receipt
from edgetl.runs.folder import RunFolder
from edgetl.runs.stage import StageContext
from edgetl.verify.schema import read_proof

__all__ = ["Sources", "read_sources"]


@dataclass(frozen=True)
class Sources:
    """The files that the page is made from, as plain data."""

    verify: dict[str, Any] | None
    bench: dict[str, Any] | None
    quantize: dict[str, Any] | None
    explain: dict[str, Any] | None
    control: dict[str, Any] | None
    prune: dict[str, Any] | None
    student_epochs: list[dict[str, Any]]
    """One entry per epoch, in order; empty if the student was not trained here."""

    teacher_epochs: list[dict[str, Any]]
    """The same of the teacher; empty if there is none."""

    teacher: RunFolder | None
    unpruned: RunFolder | None
    """The student before it was pruned, if it was to be."""

    predictions: dict[str, NDArray[np.float32]] | None
    """Probabilities `(N, K)` of the test split by artifact file, and by `reference` those of the student in PyTorch."""


def read_sources(context: StageContext) -> Sources:
    """Read everything that the stages before have left in the run folder.

    Raises:
        RunFolderError: A run folder inside is damaged, or the receipt of quantization is another edgetl's.
    """
    folder, unpruned = context.folder, context.unpruned
    teacher = context.teachers[0] if context.teachers else None
    return Sources(
        verify=read_proof(folder),
        bench=read_timings(folder),
        quantize=read_receipt(folder),
        explain=_json(folder, "explain.json"),
        control=_json(folder, "control.json"),
        prune=_json(unpruned, "prune.json") if unpruned else None,
        student_epochs=_json_lines(folder, "metrics.jsonl"),
        teacher_epochs=_json_lines(teacher, "metrics.jsonl") if teacher else [],
        teacher=teacher,
        unpruned=unpruned,
        predictions=_arrays(folder, "predictions.npz"),
    )


def _json(folder: RunFolder, name: str) -> dict[str, Any] | None:
    return folder.read_json(name) if name in folder.manifest["files"] else None


def _json_lines(folder: RunFolder, name: str) -> list[dict[str, Any]]:
    if name not in folder.manifest["files"]:
        return []
    return [json.loads(line) for line in folder.file(name).read_text(encoding="utf-8").splitlines() if line.strip()]


def _arrays(folder: RunFolder, name: str) -> dict[str, NDArray[np.float32]] | None:
    if name not in folder.manifest["files"]:
        return None
    with np.load(folder.file(name), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
