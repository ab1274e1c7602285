"""What a run folder has to tell; what is not there is None, never made up."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetl.artifact import RunFolder
from edgetl.compress.schema import RECEIPT_FILE, RECEIPT_SCHEMA
from edgetl.errors import RunFolderError
from edgetl.stage import StageContext

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
    path = context.folder.path
    teacher, unpruned = (context.teachers or (_inside(path, "teacher"),))[0], _inside(path, "unpruned")
    return Sources(
        verify=_json(path / "verify.json"),
        bench=_json(path / "bench.json"),
        quantize=_receipt(path / RECEIPT_FILE),
        explain=_json(path / "explain.json"),
        control=_json(path / "control.json"),
        prune=_json(path / "unpruned" / "prune.json"),
        student_epochs=_json_lines(path / "metrics.jsonl"),
        teacher_epochs=_json_lines(teacher.path / "metrics.jsonl") if teacher else [],
        teacher=teacher,
        unpruned=unpruned,
        predictions=_arrays(path / "predictions.npz"),
    )


def _inside(path: Path, name: str) -> RunFolder | None:
    inside = path / name
    return RunFolder.open(inside) if (inside / "manifest.json").is_file() else None


def _json(file: Path) -> dict[str, Any] | None:
    if not file.is_file():
        return None
    data: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return data


def _receipt(file: Path) -> dict[str, Any] | None:
    data = _json(file)
    if data and data["schema_version"] != RECEIPT_SCHEMA:
        raise RunFolderError(f"{file}: written by another version of edgetl. Run: edgetl quantize {file.parent}")
    return data


def _json_lines(file: Path) -> list[dict[str, Any]]:
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def _arrays(file: Path) -> dict[str, NDArray[np.float32]] | None:
    if not file.is_file():
        return None
    with np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
