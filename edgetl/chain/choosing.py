"""`--teacher auto`: of the networks whose weights are at hand, the one on whose features a head answers best.

Each candidate is a run of its own, in `candidates/`, with the stages `data` and `probe`. So each sees the images in its
own size, is probed once, and a killed choice goes on where it was.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetl.chain.forecast import forecast
from edgetl.chain.plan import AUTO, PlannedRun
from edgetl.chain.preflight import check, check_installed
from edgetl.chain.running import execute
from edgetl.errors import ConfigError
from edgetl.recipe.fields import Recipe
from edgetl.recipe.networks import DistillConfig, StudentConfig, TeacherConfig
from edgetl.runs.folder import RunFolder
from edgetl.runs.processes import launched
from edgetl.runs.reporter import Advance, Reporter
from edgetl.runs.words import accuracy

if TYPE_CHECKING:  # importing networks needs PyTorch, which may not be installed
    from edgetl.zoo.at_hand import AtHand

__all__ = ["foreseen", "settled"]

_CANDIDATES = "candidates"


@dataclass(frozen=True)
class _Candidate:
    network: "AtHand"
    top1: float
    images: int
    multiply_adds: int
    parameters: int

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        figures = {"val_top1": self.top1, "val_images": self.images}
        figures |= {"multiply_adds": self.multiply_adds, "parameters": self.parameters}
        return {"model": self.network.model, "weights": self.network.weights, **figures}


def settled(
    recipe: Recipe, out: Path, reporter: Reporter, plan_of: Callable[[Recipe], tuple[PlannedRun, ...]]
) -> tuple[PlannedRun, ...]:
    """Plan a recipe, after the teacher was chosen if the recipe leaves that open and the plan trains one.

    Args:
        recipe: What was asked for.
        out: The run folder that it is for.
        reporter: Told what was chosen, with the figures of all.
        plan_of: Plans a recipe that names its teacher.

    Raises:
        ConfigError: No weights are at hand.
    """
    planned = plan_of(recipe)
    if recipe.teacher.model != AUTO or not any(run.role == "teacher" and run.stages for run in planned):
        return planned
    runs = _candidate_runs(recipe, planned, out, reporter)
    check([run for run, _ in runs], reporter)
    found = [_seen(execute([run], _Quiet(reporter)), network) for run, network in runs]
    best = max(found, key=lambda each: (each.top1, -each.multiply_adds))
    if launched().first:
        reporter.say(_sentence(best, found))
    teacher = recipe.teacher.model_copy(update={"model": best.network.model, "weights": best.network.weights})
    choice = {"teacher": best.network.model, "candidates": [each.to_dict() for each in found]}
    known = recipe.model_copy(update={"teacher": teacher})
    return tuple(replace(run, choice=choice) if run.role == "teacher" else run for run in plan_of(known))


def foreseen(
    recipe: Recipe, out: Path, reporter: Reporter, plan_of: Callable[[Recipe], tuple[PlannedRun, ...]]
) -> tuple[PlannedRun, ...]:
    """As `settled`, but nothing is run: while the teacher is not chosen, the candidates come before the plan.

    Raises:
        ConfigError: No weights are at hand.
    """
    planned = plan_of(recipe)
    if recipe.teacher.model != AUTO or not any(run.role == "teacher" and run.stages for run in planned):
        return planned
    runs = tuple(run for run, _ in _candidate_runs(recipe, planned, out, reporter))
    if all(each.state == "current" for each in forecast(runs, reporter)):
        return settled(recipe, out, reporter, plan_of)
    return (*runs, *planned)


def _candidate_runs(
    recipe: Recipe, planned: Sequence[PlannedRun], out: Path, reporter: Reporter
) -> list[tuple[PlannedRun, "AtHand"]]:
    """The runs that probe the networks at hand, each with its network.

    Raises:
        ConfigError: There is none.
    """
    for run in planned:
        check_installed(run)
    from edgetl.zoo.at_hand import networks_at_hand, places

    weights = recipe.teacher.weights
    if weights == "none":
        raise ConfigError("teacher.model", "'auto' chooses among pretrained weights, but teacher.weights is 'none'")
    networks, unknown = networks_at_hand(weights)
    if unknown and launched().first:
        reporter.say(
            f"Left out, since their network is not known: {', '.join(unknown)}. Name files after timm's models."
        )
    if not networks:
        problem = f"'auto' found no pretrained weights; it looked into {places(weights)}"
        hint = "Name a model, or a folder of .safetensors files with --set teacher.weights=FOLDER."
        raise ConfigError("teacher.model", problem, hint=hint)
    return [(_run_of(network, recipe, out), network) for network in networks]


def _run_of(network: "AtHand", recipe: Recipe, out: Path) -> PlannedRun:
    teacher = TeacherConfig(
        model=network.model, weights=network.weights, small_images=recipe.teacher.small_images, strategy="features"
    )
    own = {"teacher": teacher, "student": StudentConfig(), "distill": DistillConfig()}
    place = out / _CANDIDATES / network.name
    return PlannedRun("teacher", place, recipe.model_copy(update=own), ("data", "probe"), is_main=False)


def _seen(folder: RunFolder, network: "AtHand") -> _Candidate:
    record = folder.stage("probe")
    assert record is not None
    images = int(record["learned"]["val_images"])
    return _Candidate(
        network, record["metrics"]["val_top1"], images, int(record["multiply_adds"]), int(record["parameters"])
    )


def _sentence(best: _Candidate, found: Sequence[_Candidate]) -> str:
    ranked = sorted(found, key=lambda each: (-each.top1, each.multiply_adds))
    figures = ", ".join(f"{each.network.name} {accuracy(each.top1, each.images)}" for each in ranked)
    why = "whose weights alone are at hand" if len(found) == 1 else "on whose features a head answers best"
    return f"Teacher: {best.network.model}, {why}. Of {best.images:,} plain images, by cross-validation: {figures}."


class _Quiet(Reporter):
    """Passes on progress alone: one sentence tells of all candidates."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__()
        self._reporter = reporter

    @contextmanager
    def track(self, title: str, total: int, *, even: bool = False) -> Iterator[Advance]:
        with self._reporter.track(title, total, even=even) as advance:
            yield advance
