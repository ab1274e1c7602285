"""What every stage is: a function from a context to a result. It reads run folders and writes one folder."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgetl.devices.base import Device
from edgetl.devices.local import LocalDevice
from edgetl.devices.measuring import threads_for
from edgetl.devices.profiles import Target
from edgetl.recipe.fields import Recipe
from edgetl.runner.contract import Contract
from edgetl.runs.artifact import Artifact
from edgetl.runs.folder import RunFolder
from edgetl.runs.processes import Processes
from edgetl.runs.reporter import Reporter

__all__ = ["StageContext", "StageFunction", "StageResult"]


@dataclass(frozen=True)
class StageContext:
    """What a stage may read, and the one folder it may write."""

    recipe: Recipe
    """Only what the stage's record declares; reading anything else raises `UndeclaredRead`."""

    target: Target
    folder: RunFolder
    """The run, with what earlier stages made."""

    out: Path
    """Where the stage writes its files; they move into the run folder when it returns."""

    reporter: Reporter
    inputs: str
    """Hash of everything the stage depends on; a checkpoint with another hash must not be continued."""

    teachers: tuple[RunFolder, ...] = ()
    """Run folders of the teachers, for distillation; several act as an ensemble."""

    earlier: tuple[RunFolder, ...] = ()
    """Runs of the same plan that were trained before this one; they share the recipe's time."""

    later: tuple[Recipe, ...] = ()
    """Recipes of the students that are trained after this run, of their network and losses alone."""

    unpruned: RunFolder | None = None
    """The run of the student before it was pruned, if it was."""

    processes: Processes = field(default_factory=Processes)
    """The processes that share this stage; only the first one writes."""

    device: Device = field(default_factory=LocalDevice)
    """Where models are run and measured."""

    @property
    def contract(self) -> Contract:
        """The run's contract; see `RunFolder.contract`."""
        return self.folder.contract

    @property
    def threads(self) -> int:
        """Threads of one inference: the recipe's or the target's, but no more than the device has cores."""
        return threads_for(self.recipe.bench.threads, self.target, self.device)


@dataclass(frozen=True)
class StageResult:
    """What the manifest keeps of a stage in addition to its files."""

    metrics: dict[str, float] = field(default_factory=dict)
    """Numbers that people compare, named with their units."""

    artifacts: tuple[Artifact, ...] = ()
    """Model files that it wrote for devices."""

    details: dict[str, Any] = field(default_factory=dict)
    """Anything else worth recording with the stage."""

    facts: dict[str, Any] = field(default_factory=dict)
    """Top-level entries of the manifest: `contract`, `model`, `lineage`."""

    failure: str = ""
    """Why the proof failed, if it did; the stage's files are kept anyway, and the run exits with 1."""

    undecided: str = ""
    """What could not be decided, if anything; the run exits with 3 unless something failed."""


StageFunction = Callable[[StageContext], StageResult]
