"""What each stage is: where its code lives, and everything that decides what it makes."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from edgetl.artifact import hash_of, sha256_of
from edgetl.environment import machine, versions
from edgetl.stage import StageContext, StageFunction, StageResult

__all__ = ["CHAIN", "STAGES", "TOGETHER", "Kind", "Stage", "inputs_of", "readers_of"]

CHAIN = (
    "data", "finetune", "distill", "prune", "control", "export", "quantize", "verify", "bench", "explain", "report",
)  # fmt: skip
"""Every stage, in order. Fine-tuning happens in the teacher's own run folder, pruning in the unpruned student's."""

TOGETHER = ("finetune", "distill", "control")
"""Stages that several processes share; the others are run by the first while the rest wait."""

Kind = Literal["finetune", "distill"]
"""What a run folder holds: a network trained on labels, or one trained on a teacher's answers."""

_TRAINED = ("finetune", "distill")
_PLACES = {"distill": {"cache", "keep_pixels"}}
"""Fields of the recipe that say where something is kept, and change no result."""


@dataclass(frozen=True)
class Stage:
    """Where a stage is, and everything that decides what it makes."""

    load: Callable[[], StageFunction]
    """Imports the stage's function: its libraries are loaded when it has to run and not before."""

    sections: tuple[str, ...] = ()
    """Parts of the recipe that it reads."""

    reads: tuple[str, ...] = ()
    """Earlier stages whose files it reads."""

    also: Callable[[StageContext], Any] = lambda _context: None
    """Anything else that it depends on."""


def _from(module: str) -> Callable[[], StageFunction]:
    return lambda: import_module(module).run


def _load_data_stage() -> StageFunction:
    """The data stage with what the networks expect, which it cannot ask itself: models are built on data."""
    from edgetl.data import stage as data
    from edgetl.zoo.build import native_input

    def run(context: StageContext) -> StageResult:
        return data.run(context, native_input(context.recipe.student if context.teachers else context.recipe.teacher))

    return run


def _data_dependencies(context: StageContext) -> Any:
    from edgetl.data.stage import fingerprint, unlabelled_fingerprint

    recipe = context.recipe
    models = [(m.model, _content(m.weights)) for m in (recipe.teacher, recipe.student)]
    unlabelled = unlabelled_fingerprint(recipe) if context.teachers else ""
    return [fingerprint(recipe), models, _teacher_weights(context), unlabelled, recipe.distill.class_map]


def _teacher_weights(context: StageContext) -> list[str]:
    return [teacher.manifest["files"]["model.safetensors"]["sha256"] for teacher in context.teachers]


def _other_runs(context: StageContext) -> list[str]:
    pruning = context.folder.path / "unpruned" / "prune.json"
    return _teacher_weights(context) + ([sha256_of(pruning)] if pruning.is_file() else [])


def _content(weights: str) -> str:
    """A weights file's hash, wherever it lies; else what the recipe says."""
    file = Path(weights)
    return sha256_of(file) if file.is_file() else weights


def _tools(context: StageContext) -> Any:
    """Another converter or edgetl may write another file; training does not ask, since to repeat it would be dear."""
    return [versions(), context.target.model_dump()]


def _calibration_and_tools(context: StageContext) -> Any:
    from edgetl.data.stage import folder_fingerprint

    return [folder_fingerprint(context.recipe.quantize.calibration), _tools(context)]


def _pruned_for(context: StageContext) -> Any:
    """Other tools or another machine may find another width; pruning does not ask, since all training follows it."""
    return context.target.model_dump()


def _measured(context: StageContext) -> Any:
    return [machine(), _tools(context)]


STAGES: dict[str, Stage] = {
    "data": Stage(_load_data_stage, ("data", "seed"), also=_data_dependencies),
    "finetune": Stage(_from("edgetl.train.stage"), ("teacher", "augment", "seed"), ("data",)),
    "distill": Stage(
        _from("edgetl.distill.stage"), ("student", "distill", "augment", "seed"), ("data",), also=_teacher_weights
    ),
    "prune": Stage(_from("edgetl.prune.stage"), ("prune", "export", "seed"), ("data", "distill"), also=_pruned_for),
    "control": Stage(
        _from("edgetl.distill.control"),
        ("student", "distill", "augment", "control", "seed"),
        ("data", "distill"),
        also=_teacher_weights,
    ),
    "export": Stage(_from("edgetl.export.stage"), ("export",), _TRAINED, also=_tools),
    "quantize": Stage(
        _from("edgetl.compress.stage"),
        ("quantize", "student", "distill", "augment", "seed"),
        ("data", *_TRAINED, "export"),
        also=_calibration_and_tools,
    ),
    "verify": Stage(
        _from("edgetl.verify.stage"), ("verify", "quantize"), ("data", *_TRAINED, "export", "quantize"), also=_measured
    ),
    "bench": Stage(_from("edgetl.bench.stage"), ("bench",), ("data", "export", "quantize"), also=_measured),
    "explain": Stage(_from("edgetl.explain.stage"), ("bench",), ("data", "export", "quantize"), also=_measured),
    "report": Stage(_from("edgetl.report.stage"), reads=tuple(n for n in CHAIN if n != "report"), also=_other_runs),
}


def inputs_of(name: str, context: StageContext) -> str:
    """Hash of everything that decides what a stage makes; equal hashes mean that it need not run again."""
    stage = STAGES[name]
    recipe = context.recipe.model_dump(exclude=_PLACES)
    for model in ("teacher", "student"):
        recipe[model]["weights"] = _content(recipe[model]["weights"])
    return hash_of(
        {
            "stage": name,
            "recipe": {section: recipe[section] for section in stage.sections},
            "files": {read: context.folder.files_of(read) for read in stage.reads},
            "also": stage.also(context),
        }
    )


def readers_of(name: str) -> tuple[str, ...]:
    """Stages that read a stage's files, directly or through others."""
    direct = {other for other, stage in STAGES.items() if name in stage.reads}
    return tuple(direct | {further for other in direct for further in readers_of(other)})
