"""Run a plan: in each run folder, run the stages in order, and only those that have to.

A stage is skipped if the hash of everything that determines its results is unchanged, and its own files are untouched.
"""

import errno
import sys
import time
from collections.abc import Container, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgetl.chain.plan import PlannedRun
from edgetl.chain.stages import STAGES, Stage, extras_of, inputs_of, lasting, readers_of
from edgetl.devices.profiles import Target, find_target
from edgetl.errors import ProofFailed, ProofUndecided, RunFolderError, StorageFault, is_storage_fault
from edgetl.export.formats import chosen_formats
from edgetl.recipe.fields import Format
from edgetl.recipe.scope import narrowed, values_of
from edgetl.runs.disk import free_bytes, storage_fault
from edgetl.runs.folder import RunFolder
from edgetl.runs.installed import versions
from edgetl.runs.lock import hold
from edgetl.runs.processes import launched
from edgetl.runs.reporter import Reporter
from edgetl.runs.stage import StageContext
from edgetl.runs.words import accuracy

__all__ = ["Setting", "execute", "setting_of"]

_FULL_DISK_BYTES = 1 << 20
_OF_LATER = ("student",)
_NEED_TEACHERS = {"data", "distill", "control"}


@dataclass(frozen=True)
class Setting:
    """A planned run with what its stages are given; the recipe is not yet narrowed to one stage."""

    planned: PlannedRun
    target: Target
    formats: tuple[Format, ...]
    context: StageContext

    def inputs_of(self, stage: Stage) -> str:
        """Hash of everything that determines what a stage makes here."""
        return inputs_of(stage, self.context, self.planned.recipe, self.formats)


def execute(plan: Sequence[PlannedRun], reporter: Reporter, *, again: Container[str] = ()) -> RunFolder:
    """Run every stage of a plan that is not current or is listed in `again`; returns the folder of the last run.

    Of several processes, only the first one writes; meanwhile no other edgetl can write there.

    Raises:
        ProofFailed: An artifact is out of bounds; the later stages have run anyway, so that the report shows it.
        ProofUndecided: The test images are too few to tell, and nothing failed.
        EdgetlError: Anything else the user can act on; nothing half-written is left.
    """
    made = [run for run in plan if run.stages]
    with ExitStack() as locks:
        if launched().first:
            for place in dict.fromkeys(run.folder for run in (*made[-1:], *made)):
                locks.enter_context(hold(place))
        for run in made:
            folder = _run(run, reporter, again)
    return folder


def setting_of(planned: PlannedRun, reporter: Reporter) -> Setting:
    """Open a planned run's folder and those of its parents.

    Raises:
        RunFolderError: The folder holds something else, or a parent is missing or untrained.
    """
    folder = RunFolder.prepare(planned.folder)
    if folder.role is not None and folder.role != planned.role:
        raise RunFolderError(
            f"{planned.folder}: is the run of a {folder.role}, not of a {planned.role}. Choose another place with --out"
        )
    unpruned = [parent.folder for parent in planned.parents if parent.role == "unpruned"]
    target = find_target(planned.recipe.target)
    context = StageContext(
        recipe=planned.recipe,
        target=target,
        folder=folder,
        out=planned.folder,
        reporter=reporter,
        inputs="",
        teachers=_teachers_of(planned),
        earlier=tuple(run for path in planned.earlier if (run := RunFolder.find(path))),
        later=tuple(narrowed(recipe, _OF_LATER) for recipe in planned.later),
        unpruned=RunFolder.find(unpruned[0]) if unpruned else None,
        processes=launched(),
    )
    return Setting(planned, target, chosen_formats(planned.recipe.export, target), context)


def _teachers_of(planned: PlannedRun) -> tuple[RunFolder, ...]:
    paths = [parent.folder for parent in planned.parents if parent.role != "unpruned"]
    if not _NEED_TEACHERS & set(planned.stages):
        return tuple(folder for path in paths if (folder := RunFolder.find(path)))
    return tuple(RunFolder.trained(path) for path in paths)


def _run(planned: PlannedRun, reporter: Reporter, again: Container[str]) -> RunFolder:
    setting = setting_of(planned, reporter)
    folder = setting.context.folder
    for name in planned.stages:
        _run_stage(STAGES[name], setting, again=name in again)
    records = [(folder.stage(name) or {}) for name in planned.stages]
    for outcome, error in (("failure", ProofFailed), ("undecided", ProofUndecided)):
        if told := dict.fromkeys(record[outcome] for record in records if record.get(outcome)):
            raise error(f"{planned.folder}: {'; '.join(told)}")
    return folder


def _run_stage(stage: Stage, setting: Setting, *, again: bool) -> None:
    """Run a stage if it has to; of several processes the first decides, and the others take part or wait."""
    context = setting.context
    processes, folder = context.processes, context.folder
    inputs, current = None, None
    if processes.first:
        inputs = setting.inputs_of(stage)
        current = not again and folder.is_current(stage.name, inputs)
    inputs, current = processes.agree((inputs, current))
    title = f"{setting.planned.title}{stage.name}"
    own = replace(context, inputs=inputs, recipe=narrowed(context.recipe, stage.recipe))
    if current:
        context.reporter.say(f"{title}: nothing has changed")
    elif processes.first:
        record = _make(stage, setting, own)
        context.reporter.say(f"{title}: done in {record['seconds']:.1f} s{_numbers(record, folder)}")
    elif stage.together:
        stage.load()(own)
    if processes.count > 1:
        processes.wait()
        folder.reload()


def _make(stage: Stage, setting: Setting, context: StageContext) -> dict[str, Any]:
    """Run a stage and keep what it made; returns its record."""
    folder, reporter = context.folder, context.reporter
    start = time.perf_counter()
    reporter.take_library_seconds()
    try:
        with folder.writing(stage.name) as partial:
            with reporter.library("importing libraries"):
                function = stage.load()
            result = function(replace(context, out=partial))
            record = {
                "inputs": context.inputs,
                "metrics": result.metrics,
                "artifacts": [artifact.to_dict() for artifact in result.artifacts],
                **result.details,
                "failure": result.failure,
                "undecided": result.undecided,
                "seconds": round(time.perf_counter() - start, 3),
                "library_seconds": reporter.take_library_seconds(),
                "recipe": values_of(setting.planned.recipe, stage.recipe),
                "versions": versions(extras_of(stage, setting.formats)),
                "machine": context.device.facts(),
                "threads": _threads(),
            }
            facts = {**_facts(setting.planned), **result.facts}
            folder.keep(stage.name, partial, record, facts, readers=readers_of(stage.name), lasting=lasting())
    except Exception as cause:
        if fault := _storage_fault(cause, folder.path):
            raise fault from cause
        raise
    return record


def _threads() -> int | None:
    """Threads that PyTorch computed with, if it did: they decide the order of sums, and so the last bits."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch else None


def _facts(planned: PlannedRun) -> dict[str, Any]:
    """What the manifest says about the run as a whole; each stage's record holds the values that it was made from."""
    return {
        "role": planned.role,
        "parents": [{"role": parent.role, "run": _place(parent.folder, planned.folder)} for parent in planned.parents],
        "recipe": planned.recipe.model_dump(mode="json"),
        **({"choice": planned.choice} if planned.choice else {}),
    }


def _place(parent: Path, folder: Path) -> str:
    """A parent's path as its child records it: relative if it lies inside the child, so that both can move together."""
    inner, outer = parent.resolve(), folder.resolve()
    return str(inner.relative_to(outer)) if inner.is_relative_to(outer) else str(inner)


def _storage_fault(cause: Exception, place: Path) -> StorageFault | None:
    """Recognise a disk fault, even if a library reports it in its own words."""
    if is_storage_fault(cause):
        assert isinstance(cause, OSError)
        return storage_fault(place, cause)
    if free_bytes(place) < _FULL_DISK_BYTES:
        return storage_fault(place, OSError(errno.ENOSPC, "no space left"))
    return None


def _numbers(record: dict[str, Any], folder: RunFolder) -> str:
    images = folder.manifest["metrics"].get("data", {})
    if "learned" in record:  # by cross-validation, more images than those of the split may have judged
        images = images | {"val_images": record["learned"]["val_images"]}
    shown = [_number(name, value, images) for name, value in record["metrics"].items()]
    return f"; {', '.join(shown[:4])}" if shown else ""


def _number(name: str, value: float, images: dict[str, float]) -> str:
    """A metric in words; accuracies are those of the test split unless they are named after validation."""
    words = name.replace("_", " ")
    if not name.endswith("top1"):
        return f"{words} {value:.4g}"
    split = "val" if name.startswith("val_") else "test"
    # The interval is that of a part of all images; a mean over classes varies with the images of each.
    counted = 0 if "balanced" in name else images.get(f"{split}_images", 0)
    return f"{words.removesuffix('top1')}top-1 {accuracy(value, counted)}"
