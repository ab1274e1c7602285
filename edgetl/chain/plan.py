"""From a recipe to the runs that carry it out: which networks are trained, where, from which parents, by which stages.

Checking, estimating, printing and running all use the same plan.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgetl.chain.stages import CHAIN, STAGES
from edgetl.errors import ConfigError, RunFolderError
from edgetl.prune.phases import after, before, is_asked
from edgetl.recipe.fields import Recipe
from edgetl.recipe.networks import ModelConfig
from edgetl.runs.folder import RunFolder, run_folders
from edgetl.runs.manifest import Role

__all__ = ["AUTO", "Parent", "PlannedRun", "plan", "plan_finetuning", "plan_verb", "selection"]

AUTO = "auto"
"""The teacher's name in a recipe that leaves open which network it is; `chain.choosing` settles that before a plan."""

_TEACHER, _UNPRUNED, _ASSISTANT = "teacher", "unpruned", "assistant"
"""Names of the run folders inside the student's; a run's purpose is its role, whatever its folder is called."""


@dataclass(frozen=True)
class Parent:
    """A run that another one is made from."""

    role: Role
    folder: Path


@dataclass(frozen=True)
class PlannedRun:
    """One run folder of a plan."""

    role: Role
    folder: Path
    recipe: Recipe
    stages: tuple[str, ...]
    """The stages to run there, in order; empty for a run that is used as it is."""

    parents: tuple[Parent, ...] = ()
    earlier: tuple[Path, ...] = ()
    """Folders of the trainings before it that are part of the plan."""

    later: tuple[Recipe, ...] = ()
    """Recipes of the students that are made after it; all share the recipe's time."""

    is_main: bool = True
    """Whether this is the run that was asked for, rather than one that it needs."""

    choice: dict[str, Any] | None = None
    """How its network was chosen, for the manifest, if the recipe left that open."""

    @property
    def title(self) -> str:
        """Prefix of its stages' names in messages; empty for the main run."""
        return "" if self.is_main else f"{self.folder.name}'s "

    @property
    def kind(self) -> str:
        """The stage that trains it."""
        return "finetune" if self.role == "teacher" else "distill"

    @property
    def section(self) -> str:
        """The section of the recipe that describes the network and its training."""
        return "teacher" if self.role == "teacher" else "student"

    @property
    def network(self) -> ModelConfig:
        """The network that it trains."""
        return self.recipe.teacher if self.role == "teacher" else self.recipe.student


def selection(first: str | None, last: str | None) -> tuple[str, ...]:
    """The stages from `first` to `last`, both included; all stages by default.

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


def plan(recipe: Recipe, out: Path, stages: Iterable[str] = CHAIN) -> tuple[PlannedRun, ...]:
    """Every run that makes a student, in order: teachers, assistants, the student before it is pruned, the student.

    Args:
        recipe: What to make.
        out: The student's run folder; it contains the other runs, except teachers that are given.
        stages: Names from `CHAIN`; the results of earlier stages are used as they are.

    Raises:
        ConfigError: The recipe asks for pruning, but the student has only one epoch, or a time is to be planned.
        RunFolderError: A given teacher is not trained.
    """
    given = set(stages)
    # Distilling includes pruning, if the recipe asks for it.
    wanted = given | {"prune"} if "distill" in given else given
    chosen = tuple(name for name in CHAIN if name in wanted)
    teachers = _teachers(recipe, out, chosen)
    assistants = _assistants(recipe, out, chosen, teachers)
    parents = tuple(Parent(run.role, run.folder) for run in assistants[-1:] or teachers)
    runs = [*teachers, *assistants]
    if is_asked(recipe) and recipe.train_minutes:
        hint = "Leave one of the two out."
        raise ConfigError("train_minutes", "no time is planned for a student that is pruned in between", hint=hint)
    if is_asked(recipe):
        early = before(recipe)
        first = PlannedRun("unpruned", out / _UNPRUNED, early, _for("unpruned", chosen, early), parents, is_main=False)
        runs.append(first)
        parents = (*parents, Parent("unpruned", first.folder))
        recipe = after(recipe, first.folder)
    own = _for("student", chosen, recipe)
    if own and not _stops_before_student(teachers, own):
        runs.append(PlannedRun("student", out, recipe, own, parents))
    students = [*(run.recipe for run in assistants), recipe]
    return tuple(_in_company(run, teachers, assistants, students) for run in runs)


def plan_finetuning(recipe: Recipe, out: Path) -> tuple[PlannedRun, ...]:
    """A plan with one run: a network trained on labels.

    Raises:
        ConfigError: The recipe asks for pruning, which is for students.
    """
    if is_asked(recipe):
        raise ConfigError("prune.latency", "only a student is pruned", hint="Use 'edgetl distill'.")
    return (PlannedRun("teacher", out, recipe, ("data", "finetune")),)


def plan_verb(folder: RunFolder, recipe: Recipe, stages: Sequence[str]) -> tuple[PlannedRun, ...]:
    """A plan with some stages of an existing run."""
    role = folder.role
    if role is None:
        raise RunFolderError(f"{folder.path}: nothing has been made here yet. Run 'edgetl run' first")
    ordered = tuple(name for name in CHAIN if name in stages)
    for name in ordered:
        if role not in STAGES[name].roles:
            raise RunFolderError(
                f"{folder.path}: is the run of {_said(role)}, which has no stage '{name}'. Give the student's run"
            )
    parents = tuple(Parent(entry["role"], folder.path / entry["run"]) for entry in folder.manifest["parents"])
    return (PlannedRun(role, folder.path, recipe, ordered, parents),)


def _in_company(
    run: PlannedRun, teachers: Sequence[PlannedRun], assistants: Sequence[PlannedRun], students: Sequence[Recipe]
) -> PlannedRun:
    """A run with the trainings of the plan before and after it, none of which is given."""
    trained = [each for each in (*teachers, *assistants) if each.stages]
    place = next((number for number, each in enumerate(assistants) if each.folder == run.folder), len(assistants))
    if run.role == "teacher":
        return replace(run, later=tuple(students))
    earlier = tuple(each.folder for each in trained if each.role == "teacher" or each in assistants[:place])
    return replace(run, earlier=earlier, later=tuple(students[place + 1 :]))


def _said(role: Role) -> str:
    return {"unpruned": "a student before it is pruned"}.get(role, f"an {role}" if role == "assistant" else f"a {role}")


def _teachers(recipe: Recipe, out: Path, stages: tuple[str, ...]) -> list[PlannedRun]:
    """The given teachers; if there are none, a teacher of the run's own, with the chosen stages that make it."""
    given = run_folders(recipe.teacher.model)
    if given:
        return [PlannedRun("teacher", RunFolder.trained(path).path, recipe, (), is_main=False) for path in given]
    own = tuple(name for name in stages if name in ("data", "finetune"))
    return [PlannedRun("teacher", out / _TEACHER, recipe, own, is_main=False)]


def _assistants(recipe: Recipe, out: Path, stages: tuple[str, ...], teachers: Sequence[PlannedRun]) -> list[PlannedRun]:
    """Intermediate networks between teacher and student; each learns from the one before."""
    runs: list[PlannedRun] = []
    parents = tuple(Parent(run.role, run.folder) for run in teachers)
    for number, model in enumerate(recipe.distill.assistants, start=1):
        place = out / f"{_ASSISTANT}-{number}"
        student = recipe.student.model_copy(update={"model": model})
        cache = recipe.distill.cache if recipe.distill.cache == "auto" else f"{recipe.distill.cache}/{place.name}"
        distill = recipe.distill.model_copy(update={"cache": cache})
        own = recipe.model_copy(update={"student": student, "distill": distill})
        runs.append(PlannedRun("assistant", place, own, _for("assistant", stages, own), parents, is_main=False))
        parents = (Parent("assistant", place),)
    return runs


def _for(role: Role, stages: tuple[str, ...], recipe: Recipe) -> tuple[str, ...]:
    """The chosen stages that a run of this role has."""
    ends = {stages[0], stages[-1]}
    fitting = [STAGES[name] for name in stages if role in STAGES[name].roles]
    wanted = tuple(each.name for each in fitting if each.asked is None or each.asked(recipe, each.name in ends))
    # Stages that only serve training are skipped where nothing is trained.
    return wanted if role == "student" or "distill" in wanted else ()


def _stops_before_student(teachers: Sequence[PlannedRun], own: tuple[str, ...]) -> bool:
    """Whether only the data stage was asked for, and there is no teacher yet to take the student's contract from."""
    teacher = teachers[0]
    makes_none = own == ("data",) and "finetune" not in teacher.stages
    return makes_none and not RunFolder.prepare(teacher.folder).is_trained
