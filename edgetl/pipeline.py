"""Run the stages in order, and only those that have to.

A stage is skipped when the hash of everything it reads (its part of the recipe, the files of earlier stages, the
target, the machine where that matters) is the one it was made from, and its own files are untouched.
"""

import errno
import shutil
import time
from collections.abc import Container, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import edgetl
from edgetl.artifact import RunFolder, is_run_folder
from edgetl.config import ModelConfig, Recipe
from edgetl.environment import machine, require, versions
from edgetl.errors import ConfigError, ProofFailed, RunFolderError, StorageFault, is_storage_fault
from edgetl.reporter import Reporter
from edgetl.stage import StageContext
from edgetl.stages import CHAIN, STAGES, Kind, inputs_of, readers_of
from edgetl.targets import find_target

__all__ = ["finetune_only", "run_chain", "run_stages", "run_verb", "selection"]

_NEEDS = {"data": "train", "finetune": "train", "distill": "train", "verify": "train", "report": "report"}
_TEACHER = "teacher"
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
    teacher = _teacher_for(recipe, out, stages, reporter)
    if "model.safetensors" not in teacher.manifest["files"]:
        return teacher  # asked to stop at its data
    return run_stages(recipe, out, "distill", [s for s in stages if s != "finetune"], reporter, teacher=teacher)


def _teacher_for(recipe: Recipe, out: Path, stages: tuple[str, ...], reporter: Reporter) -> RunFolder:
    """The teacher's run: the one that is given, or one of the run's own, made as far as the stages ask."""
    if is_run_folder(recipe.teacher.model):
        return RunFolder.open(Path(recipe.teacher.model))
    own = [name for name in stages if name in ("data", "finetune")]
    if own:
        return run_stages(recipe, out / _TEACHER, "finetune", own, reporter)
    return RunFolder.open(out / _TEACHER)


def finetune_only(recipe: Recipe, out: Path, reporter: Reporter) -> RunFolder:
    """Fine-tune `recipe.teacher` in a run folder of its own."""
    from edgetl.data.stage import fingerprint

    RunFolder.prepare(out)
    require("train")
    fingerprint(recipe)
    _check_models((recipe.teacher,), reporter)
    return run_stages(recipe, out, "finetune", ("data", "finetune"), reporter)


def run_verb(verb: str, recipe: Recipe, folder: RunFolder, reporter: Reporter) -> RunFolder:
    """Run one stage in an existing run, with those that it cannot do without.

    Args:
        verb: 'export', 'quantize', 'verify', 'bench' or 'report'.
        recipe: The run's own, with what the user changed.
        folder: The run.
        reporter: Hears the progress.

    Raises:
        EdgetlError: Anything the user can act on.
    """
    quantized = folder.stage("quantize") is not None
    stages = {"quantize": ("export", "quantize"), "export": ("export", "quantize") if quantized else ("export",)}
    wanted = stages.get(verb, (verb,))
    for name in wanted:
        if name in _NEEDS:
            require(_NEEDS[name])
    kind: Kind = folder.manifest["kind"]
    again = {"verify", "bench"} & {verb}  # who asks for a proof or a measurement wants one of the files as they are now
    return run_stages(recipe, folder.path, kind, wanted, reporter, teacher=_teacher_of(folder), again=again)


def _teacher_of(folder: RunFolder) -> RunFolder | None:
    """The run that this one was distilled from, if it is still there."""
    teacher = folder.manifest.get("lineage", {}).get("teacher")
    path = folder.path / teacher["run"] if teacher else None
    return RunFolder.open(path) if path and (path / "manifest.json").is_file() else None


def run_stages(
    recipe: Recipe,
    out: Path,
    kind: Kind,
    stages: Iterable[str],
    reporter: Reporter,
    *,
    teacher: RunFolder | None = None,
    again: Container[str] = (),
) -> RunFolder:
    """Run stages in one run folder, in order, each only if it has to or is to run `again`.

    Raises:
        ProofFailed: Verification failed; the later stages have run all the same, so that the report shows it.
        EdgetlError: Anything else the user can act on.
    """
    folder = RunFolder.prepare(out)
    if folder.manifest.get("kind", kind) != kind:
        raise RunFolderError(f"{out}: holds the result of '{folder.manifest['kind']}'. Choose another place with --out")
    target = find_target(recipe.target)
    for name in (n for n in CHAIN if n in set(stages)):
        _run_stage(name, kind, StageContext(recipe, target, folder, out, reporter, "", teacher), again=name in again)
    failure = (folder.stage("verify") or {}).get("failure")
    if failure and "verify" in stages:
        raise ProofFailed(f"{out}: {failure}")
    return folder


def _run_stage(name: str, kind: Kind, context: StageContext, *, again: bool) -> None:
    stage, folder, reporter = STAGES[name], context.folder, context.reporter
    inputs = inputs_of(name, context)
    title = f"teacher's {name}" if kind == "finetune" and folder.path.name == _TEACHER else name
    if not again and folder.is_current(name, inputs):
        reporter.say(f"{title}: nothing has changed")
        return
    start = time.perf_counter()
    reporter.take_library_seconds()
    try:
        with folder.writing(name) as partial:
            with reporter.library("importing libraries"):
                function = stage.load()
            result = function(replace(context, out=partial, inputs=inputs))
            record = {
                "inputs": inputs,
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
    reporter.say(f"{title}: done in {record['seconds']:.1f} s{_numbers(result.metrics)}")


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
    parent = next(p for p in (place, *place.absolute().parents) if p.exists())
    if shutil.disk_usage(parent).free < _FULL_DISK_BYTES:
        return StorageFault(place, OSError(errno.ENOSPC, "no space left"))
    return None


def _preflight(recipe: Recipe, stages: tuple[str, ...], folder: RunFolder, reporter: Reporter) -> None:
    """Find out before the first hour of training what would stop the last minute."""
    from edgetl.data.stage import fingerprint

    target = find_target(recipe.target)
    for name in stages:
        if name in _NEEDS:
            require(_NEEDS[name])
    if {"export", "quantize", "verify", "bench"} & set(stages):
        for extra in target.formats if recipe.export.formats == "auto" else recipe.export.formats:
            require(extra)
    if {"finetune", "distill"} & set(stages):
        fingerprint(recipe)
        trained = (recipe.student,) if is_run_folder(recipe.teacher.model) else (recipe.teacher, recipe.student)
        _check_models((model for model in trained if not _was_trained(model, folder)), reporter)


def _was_trained(model: ModelConfig, folder: RunFolder) -> bool:
    """Tell whether a finished run trained this very model, so that it was to be had."""
    made = folder.manifest["recipe"] if folder.stage("distill") else {}
    return model.model_dump(mode="json") in (made.get("teacher"), made.get("student"))


def _check_models(models: Iterable[ModelConfig], reporter: Reporter) -> None:
    from edgetl.zoo.build import check_obtainable

    for model in models:
        if model.weights == "default":
            reporter.say(f"Looking for the pretrained weights of {model.model}")
        check_obtainable(model)


def _numbers(metrics: dict[str, float]) -> str:
    shown = [f"{name.replace('_', ' ')} {value:.4g}" for name, value in metrics.items()]
    return f" ({', '.join(shown[:4])})" if shown else ""
