"""What every stage is: a function from a context to a result, which reads run folders and writes one folder."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgetl.artifact import RunFolder
from edgetl.config import Recipe
from edgetl.processes import Processes
from edgetl.reporter import Reporter
from edgetl.runner.contract import Contract
from edgetl.targets import Target

__all__ = ["StageContext", "StageFunction", "StageResult"]


@dataclass(frozen=True)
class StageContext:
    """What a stage may read, and the one folder it may write."""

    recipe: Recipe
    target: Target
    folder: RunFolder
    """The run, with what earlier stages made."""

    out: Path
    """Where the stage writes its files; they move into the run folder when it returns."""

    reporter: Reporter
    inputs: str
    """Hash of everything the stage depends on; a checkpoint of another hash is not ours to continue."""

    teachers: tuple[RunFolder, ...] = ()
    """Run folders of the teachers, for distillation; several answer together."""

    processes: Processes = field(default_factory=Processes)
    """Those that run this stage together; only the first one writes."""

    @property
    def contract(self) -> Contract:
        """The run's contract; see `RunFolder.contract`."""
        return self.folder.contract


@dataclass(frozen=True)
class StageResult:
    """What the manifest keeps of a stage beside its files."""

    metrics: dict[str, float] = field(default_factory=dict)
    """Numbers that people compare, named with their units."""

    details: dict[str, Any] = field(default_factory=dict)
    """Anything else worth recording with the stage."""

    facts: dict[str, Any] = field(default_factory=dict)
    """Top-level entries of the manifest: `contract`, `model`, `lineage`."""

    failure: str = ""
    """Why the proof failed; its files are kept all the same, and the run exits with 1."""


StageFunction = Callable[[StageContext], StageResult]
