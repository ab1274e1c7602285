"""Run the stages in order, and only those that have to.

A stage is skipped when the hash of everything it reads (its part of the recipe, the files of earlier stages, the
target, the machine where that matters) is the one it was made from, and its own files are untouched.
"""

import errno
import time
from collections.abc import Container, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import edgetl
from edgetl.artifact import RunFolder, run_folders
from edgetl.config import ModelConfig, Recipe
from edgetl.disk import free_bytes
from edgetl.environment import machine, require, versions
from edgetl.errors import ConfigError, ProofFailed, RunFolderError, StorageFault, is_storage_fault
from edgetl.processes import launched
from edgetl.prune.phases import UNPRUNED, after, before, is_asked
from edgetl.reporter import Reporter
from edgetl.stage import StageContext
from edgetl.stages import CHAIN, STAGES, TOGETHER, Kind, inputs_of, readers_of
from edgetl.targets import Target, find_target

__all__ = ["finetune_only", "run_chain", "run_stages", "run_verb", "selection"]

_NEEDS = {
    "data": "train", "finetune": "train", "distill": "train", "control": "train", "verify": "train", "report": "report",
}  # fmt: skip
_TEACHER = "teacher"
_ASSISTANT = "assistant-"
_FULL_DISK_BYTES = 1 << 20


def selection(first: str | None, last: str | None) -> tuple[str, ...]:
    """The stages from `first` to `last`, both included; all without them.

    Raises:
        ConfigError: No such stage, or the first comes after the last.
    """
    for flag, name in (("--from", first), ("--to", last)):
        if name is not None and name not in CHAIN:
            raise ConfigError(flag, f"no stage named {name!r}", hint=f"Stages: {', '.join(CHAIN)}.")
    start = CHAIN.index(first) if first else 0
    stop = CHAIN.index(last) + 1 if last else len(CHAIN)
    if start >= stop:
        raise ConfigError("--from", f"{first} comes after {last}")
    return CHAIN[start:stop]


def run_chain(recipe: Recipe, out: Path, stages: Iterable[str], reporter: Reporter) -> RunFolder:
    """Make a student: fine-tune the teacher unless a run folder is given, then every selected stage.

    Args:
        recipe: What to make.
        out: The run folder; the teacher's own is `out/teacher`.
        stages: Names out of `CHAIN`; those before the first are taken as they are.
        reporter: Hears the progress.

    Raises:
        EdgetlError: Anything the user can act on; nothing half-written is left.
    """
    stages = tuple(stages)
    _preflight(recipe, stages, RunFolder.prepare(out), reporter)
    teachers = _teachers_for(recipe, out, stages, reporter)
    if not all("model.safetensors" in teacher.manifest["files"] for teacher in teachers):
        return teachers[0]  # asked to stop at its data
    if "distill" in stages:
        teachers = _assistants(recipe, out, teachers, reporter)
    if is_asked(recipe):
        recipe = _pruned(recipe, out, stages, teachers, reporter)
    wanted = [name for name in stages if name not in _left_out(recipe, stages)]
    return run_stages(recipe, out, "distill", wanted, reporter, teachers=teachers)


def _left_out(recipe: Recipe, stages: tuple[str, ...]) -> set[str]:
    """Stages that the chain has but that nobody asked for: `explain` is, by being the first or the last."""
    asked = {"explain"} & {stages[0], stages[-1]} | ({"control"} if recipe.control.seeds else set())
    return {"finetune", "prune", "control", "explain"} - asked


def _teachers_for(recipe: Recipe, out: Path, stages: tuple[str, ...], reporter: Reporter) -> tuple[RunFolder, ...]:
    """The teachers' runs: those that are given, or one of the run's own, made as far as the stages ask."""
    if given := run_folders(recipe.teacher.model):
        return tuple(_trained(path) for path in given)
    own = [name for name in stages if name in ("data", "finetune")]
    if own:
        return (run_stages(recipe, out / _TEACHER, "finetune", own, reporter),)
    return (RunFolder.open(out / _TEACHER),)


def _trained(path: Path) -> RunFolder:
    folder = RunFolder.open(path)
    if "model.safetensors" not in folder.manifest["files"]:
        raise RunFolderError(f"{path}: has no trained network to learn from. 'edgetl finetune' makes one")
    return folder


def _assistants(
    recipe: Recipe, out: Path, teachers: tuple[RunFolder, ...], reporter: Reporter
) -> tuple[RunFolder, ...]:
    """Distill step by step through the recipe's assistants; the last one is the student's teacher."""
    for number, model in enumerate(recipe.distill.assistants, start=1):
        student = recipe.student.model_copy(update={"model": model})
        place = out / f"{_ASSISTANT}{number}"
        cache = recipe.distill.cache if recipe.distill.cache == "auto" else f"{recipe.distill.cache}/{place.name}"
        distill = recipe.distill.model_copy(update={"cache": cache})
        own = recipe.model_copy(update={"student": student, "distill": distill})
        teachers = (run_stages(own, place, "distill", ("data", "distill"), reporter, teachers=teachers),)
    return teachers


def _pruned(
    recipe: Recipe, out: Path, stages: tuple[str, ...], teachers: tuple[RunFolder, ...], reporter: Reporter
) -> Recipe:
    """Train and prune the student in a run folder of its own; returns the recipe of the epochs that are left."""
    place = out / UNPRUNED
    if "distill" in stages:
        run_stages(before(recipe), place, "distill", ("data",), reporter, teachers=teachers)
    elif not place.is_dir():
        return recipe  # an unpruned run, of which later stages are to be made
    folder = RunFolder.open(place)
    counts = folder.manifest["metrics"]["data"]
    images = int(counts["train_images"] + counts.get("unlabelled_images", 0))
    if "distill" in stages:
        early = before(recipe, images)
        folder = run_stages(early, place, "distill", ("distill", "prune"), reporter, teachers=teachers)
    return after(recipe, images, folder)


def finetune_only(recipe: Recipe, out: Path, reporter: Reporter) -> RunFolder:
    """Fine-tune `recipe.teacher` in a run folder of its own.

    Raises:
        ConfigError: The recipe asks for pruning, which is for students.
    """
    from edgetl.data.stage import fingerprint

    if is_asked(recipe):
        raise ConfigError("prune.latency", "only a student is pruned", hint="'edgetl distill' does it.")
    RunFolder.prepare(out)
    require("train")
    fingerprint(recipe)
    _check_models((recipe.teacher,), reporter)
    return run_stages(recipe, out, "finetune", ("data", "finetune"), reporter)


def run_verb(
    verb: str, recipe: Recipe, folder: RunFolder, reporter: Reporter, *, then: tuple[str, ...] = ()
) -> RunFolder:
    """Run one stage in an existing run, with those that it cannot do without.

    Args:
        verb: 'export', 'quantize', 'verify', 'bench', 'explain' or 'report'.
        recipe: The run's own, with what the user changed.
        folder: The run.
        reporter: Hears the progress.
        then: Further stages, if they have to run.

    Raises:
        EdgetlError: Anything the user can act on.
    """
    quantized = folder.stage("quantize") is not None
    stages = {"quantize": ("export", "quantize"), "export": ("export", "quantize") if quantized else ("export",)}
    wanted = (*stages.get(verb, (verb,)), *then)
    for name in wanted:
        if name in _NEEDS:
            require(_NEEDS[name])
    kind: Kind = folder.manifest["kind"]
    again = {"verify", "bench", "explain"} & {
        verb
    }  # who asks for a proof or a measurement wants one of the files as they are now
    return run_stages(recipe, folder.path, kind, wanted, reporter, teachers=_teachers_of(folder), again=again)


def _teachers_of(folder: RunFolder) -> tuple[RunFolder, ...]:
    """The runs that this one was distilled from, if they are still there."""
    paths = [folder.path / teacher["run"] for teacher in folder.manifest.get("lineage", {}).get("teachers", [])]
    return tuple(RunFolder.open(path) for path in paths if (path / "manifest.json").is_file())


def run_stages(
    recipe: Recipe,
    out: Path,
    kind: Kind,
    stages: Iterable[str],
    reporter: Reporter,
    *,
    teachers: tuple[RunFolder, ...] = (),
    again: Container[str] = (),
) -> RunFolder:
    """Run stages in one run folder, in order, each only if it has to or is to run `again`.

    Raises:
        ProofFailed: An artifact is out of bounds; the later stages have run all the same, so that the report shows it.
        EdgetlError: Anything else the user can act on.
    """
    folder, stages = RunFolder.prepare(out), set(stages)
    if folder.manifest.get("kind", kind) != kind:
        raise RunFolderError(f"{out}: holds the result of '{folder.manifest['kind']}'. Choose another place with --out")
    context = StageContext(recipe, find_target(recipe.target), folder, out, reporter, "", teachers, launched())
    for name in (n for n in CHAIN if n in stages):
        _run_stage(name, kind, context, again=name in again)
    failures = [failure for name in CHAIN if name in stages and (failure := (folder.stage(name) or {}).get("failure"))]
    if failures:
        raise ProofFailed(f"{out}: {'; '.join(failures)}")
    return folder


def _run_stage(name: str, kind: Kind, context: StageContext, *, again: bool) -> None:
    """Run a stage if it has to; of several processes the first decides, and the others take part or wait."""
    processes, folder = context.processes, context.folder
    inputs, current = None, None
    if processes.first:
        inputs = inputs_of(name, context)
        current = not again and folder.is_current(name, inputs)
    inputs, current = processes.agree((inputs, current))
    title = f"{folder.path.name}'s {name}" if _is_nested(folder) else name
    if current:
        context.reporter.say(f"{title}: nothing has changed")
    elif processes.first:
        record = _make(name, kind, replace(context, inputs=inputs))
        context.reporter.say(f"{title}: done in {record['seconds']:.1f} s{_numbers(record['metrics'])}")
    elif name in TOGETHER:
        STAGES[name].load()(replace(context, inputs=inputs))
    if processes.count > 1:
        processes.wait()
        folder.reload()


def _is_nested(folder: RunFolder) -> bool:
    return folder.path.name in (_TEACHER, UNPRUNED) or folder.path.name.startswith(_ASSISTANT)


def _make(name: str, kind: Kind, context: StageContext) -> dict[str, Any]:
    """Run a stage and keep what it made; returns its record."""
    folder, reporter = context.folder, context.reporter
    start = time.perf_counter()
    reporter.take_library_seconds()
    try:
        with folder.writing(name) as partial:
            with reporter.library("importing libraries"):
                function = STAGES[name].load()
            result = function(replace(context, out=partial))
            record = {
                "inputs": context.inputs,
                "metrics": result.metrics,
                **result.details,
                "failure": result.failure,
                "seconds": round(time.perf_counter() - start, 3),
                "library_seconds": reporter.take_library_seconds(),
            }
            folder.keep(name, partial, record, {**_facts(context, kind), **result.facts}, readers=readers_of(name))
    except Exception as cause:
        if fault := _storage_fault(cause, folder.path):
            raise fault from cause
        raise
    return record


def _facts(context: StageContext, kind: Kind) -> dict[str, Any]:
    return {
        "edgetl": edgetl.__version__,
        "kind": kind,
        "seed": context.recipe.seed,
        "recipe": context.recipe.model_dump(mode="json"),
        "versions": versions(),
        "machine": machine(),
    }


def _storage_fault(cause: Exception, place: Path) -> StorageFault | None:
    """Recognise a fault of the disk, also where a library reports it in its own words."""
    if is_storage_fault(cause):
        assert isinstance(cause, OSError)
        return StorageFault(cause.filename or place, cause)
    if free_bytes(place) < _FULL_DISK_BYTES:
        return StorageFault(place, OSError(errno.ENOSPC, "no space left"))
    return None


def _preflight(recipe: Recipe, stages: tuple[str, ...], folder: RunFolder, reporter: Reporter) -> None:
    """Find out before the first hour of training what would stop the last minute."""
    from edgetl.data.stage import fingerprint, unlabelled_fingerprint

    target = find_target(recipe.target)
    for name in stages:
        if name in _NEEDS:
            require(_NEEDS[name])
    if {"export", "quantize", "verify", "bench", "explain"} & set(stages):
        for extra in target.formats if recipe.export.formats == "auto" else recipe.export.formats:
            require(extra)
    if {"finetune", "distill"} & set(stages):
        fingerprint(recipe)
        unlabelled_fingerprint(recipe)
        assistants = [recipe.student.model_copy(update={"model": model}) for model in recipe.distill.assistants]
        own = [] if run_folders(recipe.teacher.model) else [recipe.teacher]
        pruned = "distill" in stages and is_asked(recipe)
        if pruned:
            folder, recipe = RunFolder.prepare(folder.path / UNPRUNED), before(recipe)
            _check_pruning(recipe, target, folder)
        trained = [*own, *assistants, recipe.student]
        _check_models((model for model in trained if not _was_trained(model, folder)), reporter)


def _check_pruning(recipe: Recipe, target: Target, unpruned: RunFolder) -> None:
    """Make sure that the student can be pruned; one that was need not be tried."""
    if unpruned.stage("prune") is None or unpruned.manifest["recipe"]["student"]["model"] != recipe.student.model:
        from edgetl.prune.eligible import check_prunable

        check_prunable(recipe, target)


def _was_trained(model: ModelConfig, folder: RunFolder) -> bool:
    """Tell whether a finished run trained this very model, so that it was to be had."""
    made = folder.manifest["recipe"] if folder.stage("distill") else {}
    return model.model_dump(mode="json") in (made.get("teacher"), made.get("student"))


def _check_models(models: Iterable[ModelConfig], reporter: Reporter) -> None:
    from edgetl.zoo.build import check_obtainable

    for model in models:
        check_obtainable(model, reporter)


def _numbers(metrics: dict[str, float]) -> str:
    shown = [f"{name.replace('_', ' ')} {value:.4g}" for name, value in metrics.items()]
    return f" ({', '.join(shown[:4])})" if shown else ""
