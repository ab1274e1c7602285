"""Run folders below a place, each in a line."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgetl.errors import RunFolderError
from edgetl.runs.folder import RunFolder
from edgetl.runs.words import accuracy, age

__all__ = ["ListedRun", "listed_runs"]

_DEEPEST = 3
_MOST = 10_000
"""Folders that are looked into."""


@dataclass(frozen=True)
class ListedRun:
    """What is said of a run."""

    run: str
    data: str = ""
    model: str = ""
    test_top1: float | None = None
    """As a fraction of 1; None where nothing was trained yet."""

    test_images: int = 0
    stages: tuple[str, ...] = ()
    finished: str = ""
    """When its last stage was, in UTC (ISO 8601)."""

    problem: str = ""
    """Why it cannot be read, if so."""

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    def row(self) -> list[str]:
        """A text for each column: run, data, model, accuracy, last stage and age."""
        if self.problem:
            return [self.run, "", "", "", self.problem, ""]
        reached = "" if self.test_top1 is None else accuracy(self.test_top1, self.test_images)
        passed = datetime.now(UTC) - datetime.fromisoformat(self.finished) if self.finished else None
        return [
            self.run,
            self.data,
            self.model,
            reached,
            self.stages[-1] if self.stages else "",
            age(passed) if passed else "",
        ]


def listed_runs(place: Path) -> list[ListedRun]:
    """The run folders at or below a folder, by path; those of teachers within a student's, too.

    Raises:
        RunFolderError: There is no such folder.
    """
    if not place.is_dir():
        raise RunFolderError(f"{place}: no such folder")
    return [_of(path) for path in _below(place, _DEEPEST)]


def _below(place: Path, depth: int) -> list[Path]:
    own = [place] if (place / "manifest.json").is_file() else []
    if not depth:
        return own
    inner = sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))
    return own + [found for path in inner[:_MOST] for found in _below(path, depth - 1)]


def _of(path: Path) -> ListedRun:
    try:
        folder = RunFolder.open(path)
    except RunFolderError as cause:
        return ListedRun(str(path), problem=str(cause).removeprefix(f"{path}: "))
    manifest = folder.manifest
    metrics = manifest["metrics"]
    trained = metrics.get("finetune") or metrics.get("distill") or {}
    return ListedRun(
        run=str(path),
        data=Path(manifest["recipe"]["data"]["path"]).name,
        model=(manifest.get("model") or {}).get("name", ""),
        test_top1=trained.get("test_top1"),
        test_images=round(metrics.get("data", {}).get("test_images", 0)),
        stages=tuple(manifest["stages"]),
        finished=max((record["finished"] for record in manifest["stages"].values()), default=""),
    )
