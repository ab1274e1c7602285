"""Every stage, one record each: where its code is, what it needs, and everything that determines what it makes.

A stage is given what its record declares and nothing else. To add one, write one record here and one file elsewhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from edgetl.devices.profiles import Target
from edgetl.recipe.fields import Recipe
from edgetl.recipe.scope import values_of
from edgetl.runs.files import hash_of, sha256_of
from edgetl.runs.installed import versions
from edgetl.runs.manifest import Role
from edgetl.runs.stage import StageContext, StageFunction, StageResult

__all__ = ["CHAIN", "STAGES", "Stage", "extras_of", "inputs_of", "lasting", "readers_of", "tools_of"]

_FROM_LABELS: tuple[Role, ...] = ("teacher",)
_FROM_TEACHER: tuple[Role, ...] = ("assistant", "unpruned", "student")
_TRAINED = ("finetune", "distill")
_TRAINING = ("augment", "seed", "data.workers", "checkpoint_seconds")
_MODELS = ("teacher.model", "teacher.weights", "student.model", "student.weights", "student.image_size")


@dataclass(frozen=True)
class Stage:
    """What the chain knows about a stage."""

    name: str
    load: Callable[[], StageFunction]
    """Imports the stage's function, so that its libraries are loaded only when it has to run."""

    recipe: tuple[str, ...] = ()
    """Parts of the recipe that it reads: sections, `section.field`, or fields of the recipe itself."""

    reads: tuple[str, ...] = ()
    """Earlier stages whose files it reads."""

    roles: tuple[Role, ...] = (*_FROM_LABELS, *_FROM_TEACHER)
    """Roles of the runs that can have it."""

    asked: Callable[[Recipe, bool], bool] | None = None
    """Whether to run it, given the recipe and whether it was named as first or last stage; None if it always runs."""

    extras: tuple[str, ...] = ()
    """What must be installed for it."""

    formats: bool = False
    """Whether it also needs the extras of the formats that are exported."""

    tools: tuple[str, ...] = ()
    """Extras whose versions change what it makes; with `formats`, those of the formats, too."""

    target: Callable[[Target], Any] = lambda _target: None
    """What of the target changes what it makes."""

    machine: bool = False
    """Whether the device's facts change what it makes, because it measures there."""

    together: bool = False
    """Whether several processes share it; if not, the first one runs it while the others wait."""

    anew: bool = False
    """Whether its verb always runs it: a proof or a measurement must be of the files as they are now."""

    lasting: bool = False
    """Whether people open its files: then outdated ones stay until they are made again."""

    also: Callable[[StageContext, Recipe], Any] = lambda _context, _recipe: None
    """Anything else that it depends on."""


def _all_of(target: Target) -> Any:
    return target.model_dump()


def _for_files(target: Target) -> Any:
    """What float files depend on: the formats, and what ONNX may contain."""
    runtime = target.runtimes.get("onnx")
    return [target.formats, (runtime.max_ir, runtime.max_opset) if runtime else None]


def _for_integers(target: Target) -> Any:
    """What integer files depend on: the formats, what their kernels do with products, and the threads of judging."""
    return [target.formats, target.architecture == "x86_64" and not target.int8_dot_product, target.threads]


def _from(module: str) -> Callable[[], StageFunction]:
    return lambda: import_module(module).run


def _load_data_stage() -> StageFunction:
    """The data stage, with the input that the networks expect; `data` cannot ask for it, as it may not import `zoo`."""
    from edgetl.data import stage as data
    from edgetl.zoo.build import native_input

    def run(context: StageContext) -> StageResult:
        return data.run(context, native_input(context.recipe.student if context.teachers else context.recipe.teacher))

    return run


def _looks(context: StageContext, recipe: Recipe) -> Any:
    """What tells whether the images are those that were read, and the teachers' weights."""
    from edgetl.data.stage import stamps, unlabelled_stamps

    unlabelled = unlabelled_stamps(recipe) if context.teachers else ""
    return [stamps(recipe), _teacher_weights(context, recipe), unlabelled]


def _teacher_weights(context: StageContext, _recipe: Recipe) -> list[str]:
    return [teacher.weights_sha256 for teacher in context.teachers]


def _calibration(_context: StageContext, recipe: Recipe) -> Any:
    from edgetl.data.stage import folder_stamps

    return folder_stamps(recipe.quantize.calibration)


def _other_runs(context: StageContext, recipe: Recipe) -> Any:
    unpruned = context.unpruned.files_of("prune") if context.unpruned else {}
    return [_teacher_weights(context, recipe), unpruned]


_EVERY = (
    Stage(
        "data",
        _load_data_stage,
        recipe=("data", "seed", "distill.unlabelled", "distill.class_map", *_MODELS),
        extras=("train",),
        also=_looks,
    ),
    Stage(
        "finetune",
        _from("edgetl.train.stage"),
        recipe=("teacher", "train_minutes", *_TRAINING),
        reads=("data",),
        roles=_FROM_LABELS,
        extras=("train",),
        together=True,
    ),
    Stage(
        "distill",
        _from("edgetl.distill.stage"),
        recipe=("student", "distill", "train_minutes", *_TRAINING),
        reads=("data",),
        roles=_FROM_TEACHER,
        extras=("train",),
        together=True,
        also=_teacher_weights,
    ),
    Stage(
        "prune",
        _from("edgetl.prune.stage"),
        recipe=("prune", "export.formats", "data.workers", "bench.threads", "bench.warmup_runs", "bench.min_samples"),
        reads=("data", "distill"),
        roles=("unpruned",),
        extras=("train",),
        target=_all_of,
        # Other tools or another machine might find another width; they do not count, or training would run again.
    ),
    Stage(
        "control",
        _from("edgetl.distill.control"),
        recipe=("student", "distill", "control", *_TRAINING),
        reads=("data", "distill"),
        roles=("student",),
        asked=lambda recipe, _named: recipe.control.seeds > 0,
        extras=("train",),
        together=True,
        also=_teacher_weights,
    ),
    Stage(
        "export",
        _from("edgetl.export.stage"),
        recipe=("export",),
        reads=_TRAINED,
        roles=("teacher", "student"),
        extras=("train",),
        formats=True,
        tools=("train",),
        target=_for_files,
    ),
    Stage(
        "quantize",
        _from("edgetl.quantize.stage"),
        recipe=("quantize", "student", "distill", "data.max_unreadable", "bench.threads", *_TRAINING),
        reads=("data", *_TRAINED, "export"),
        roles=("teacher", "student"),
        extras=("train",),
        formats=True,
        tools=("train",),
        target=_for_integers,
        also=_calibration,
    ),
    Stage(
        "verify",
        _from("edgetl.verify.stage"),
        recipe=("verify", "quantize.max_drop", "quantize.max_flips", "bench.threads"),
        reads=("data", *_TRAINED, "export", "quantize"),
        roles=("teacher", "student"),
        extras=("train",),
        formats=True,
        tools=("train",),
        target=_all_of,
        machine=True,
        anew=True,
    ),
    Stage(
        "bench",
        _from("edgetl.bench.stage"),
        recipe=("bench", "seed"),
        reads=("data", "export", "quantize"),
        roles=("teacher", "student"),
        formats=True,
        target=_all_of,
        machine=True,
        anew=True,
    ),
    Stage(
        "explain",
        _from("edgetl.explain.stage"),
        recipe=("bench.threads", "bench.warmup_runs", "bench.min_samples"),
        reads=("data", "export", "quantize"),
        roles=("teacher", "student"),
        asked=lambda _recipe, named: named,
        formats=True,
        target=_all_of,
        machine=True,
        anew=True,
    ),
    Stage(
        "report",
        _from("edgetl.report.stage"),
        reads=(
            "data", "finetune", "distill", "control", "export", "quantize", "verify", "bench", "explain",
        ),
        roles=("teacher", "student"),
        extras=("report",),
        tools=("report",),
        target=_all_of,
        lasting=True,
        also=_other_runs,
    ),
)  # fmt: skip

_PROBE = Stage(
    "probe",
    _from("edgetl.train.probing"),
    recipe=("teacher", "seed", "data.workers"),
    reads=("data",),
    roles=_FROM_LABELS,
    extras=("train",),
    together=True,
)

STAGES: dict[str, Stage] = {stage.name: stage for stage in (*_EVERY, _PROBE)}
CHAIN = tuple(stage.name for stage in _EVERY)
"""Names of the stages that make a run, in order; 'probe' is only for the candidates of a teacher."""


def inputs_of(stage: Stage, context: StageContext, recipe: Recipe, formats: tuple[str, ...]) -> str:
    """Hash of everything that determines what a stage makes; with an equal hash it need not run again.

    Args:
        stage: Its record.
        context: What it will be given.
        recipe: The whole recipe.
        formats: The formats that are exported.
    """
    return hash_of(
        {
            "stage": stage.name,
            "recipe": _without_paths(values_of(recipe, stage.recipe, places=False)),
            "files": {read: context.folder.files_of(read) for read in stage.reads},
            "versions": versions(tools_of(stage, formats)) if tools_of(stage, formats) else None,
            "target": stage.target(context.target),
            "machine": context.device.facts() if stage.machine else None,
            "also": stage.also(context, recipe),
        }
    )


def _without_paths(values: dict[str, Any]) -> dict[str, Any]:
    """Recipe values with each weights file replaced by the hash of its content, so that its path does not matter."""
    return {
        name: {**value, "weights": _content(value["weights"])}
        if isinstance(value, dict) and "weights" in value
        else value
        for name, value in values.items()
    }


def _content(weights: str) -> str:
    file = Path(weights)
    return sha256_of(file) if file.is_file() else weights


def extras_of(stage: Stage, formats: tuple[str, ...]) -> tuple[str, ...]:
    """What must be installed for a stage."""
    return (*stage.extras, *(formats if stage.formats else ()))


def tools_of(stage: Stage, formats: tuple[str, ...]) -> tuple[str, ...]:
    """Extras whose versions change what a stage makes."""
    return (*stage.tools, *(formats if stage.formats else ()))


def readers_of(name: str) -> tuple[str, ...]:
    """Stages that read a stage's files, directly or through other stages."""
    direct = {other for other, stage in STAGES.items() if name in stage.reads}
    return tuple(direct | {further for other in direct for further in readers_of(other)})


def lasting() -> tuple[str, ...]:
    """Stages whose files stay until they are made again."""
    return tuple(name for name, stage in STAGES.items() if stage.lasting)
