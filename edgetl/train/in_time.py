"""Say how long a stage's training will take, or plan it to fit the recipe's time.

A plan is measured once and then kept in the run folder, in `.plan`, by the hash of the stage's inputs: a killed stage
goes on with the same plan, and the same recipe makes it again. The weights depend on the plan, so the manifest has it.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from edgetl.data.index import ImageIndex
from edgetl.data.sizing import student_contract
from edgetl.data.views import Views
from edgetl.errors import ConfigError
from edgetl.recipe.fields import Recipe
from edgetl.recipe.networks import ModelConfig, Strategy
from edgetl.runner.contract import Contract
from edgetl.runs.files import hash_of, write_atomic
from edgetl.runs.stage import StageContext
from edgetl.runs.words import duration
from edgetl.train.backbone import is_linear
from edgetl.train.costs import Size, Work, bill
from edgetl.train.measuring import Subject, measured
from edgetl.train.plan import Job, Plan, divided, plan_for, share_of, sizes_of
from edgetl.train.pretraining import looked_at
from edgetl.train.transfer import MOST_IMAGES, grid_of, most_views
from edgetl.zoo.build import build_classifier, native_input
from edgetl.zoo.classifier import Classifier

__all__ = ["Teachers", "as_planned", "in_time", "subject_of"]

_SPARE = 1.25
"""Factor of the least time in the message that names it, since the machine may be busier the next time."""

_ROUNDED_S = 5


@dataclass(frozen=True)
class Teachers:
    """What a student's teachers add to its training."""

    answer_s: float = 0.0
    """Seconds of an answer to a view; 0 without a teacher."""

    answered: Callable[[int], int] = lambda epochs: epochs
    """Views that they answer for a training in full of so many epochs."""


def in_time(
    subject: Subject,
    context: StageContext,
    section: Literal["teacher", "student"],
    teachers: Teachers,
    elapsed_s: float,
) -> tuple[StageContext, dict[str, Any]]:
    """Plan a training if the recipe has a time, and say what to expect.

    Args:
        subject: The network.
        context: The stage's context.
        section: Section of the recipe that says how the network is trained.
        teachers: What its teachers add; `Teachers()` for labels alone.
        elapsed_s: Seconds that this stage has taken already.

    Returns:
        The context with the plan as its recipe, and the plan for the manifest; the same and nothing without a time.

    Raises:
        ConfigError: The time is too short for the least that can be done.
    """
    if not context.recipe.train_minutes:
        if context.processes.first and subject.strategy != "full":
            with context.reporter.library("estimating the time"):
                job = _job(subject, context, teachers)
            context.reporter.say(f"Expected time: {_bill(job, job.standard)}.")
        return context, {}
    file = context.folder.path / ".plan" / f"{section}-{context.inputs[:16]}.json"
    plan: dict[str, Any] | None = None
    if context.processes.first:
        if file.is_file():
            plan = json.loads(file.read_bytes())
            context.reporter.say(f"Planned before: {_size(plan).sentence()}.")
        else:
            plan = _planned(subject, context, teachers, elapsed_s)
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(file, json.dumps(plan))
    plan = context.processes.agree(plan)
    assert plan is not None
    return as_planned(context, section, plan), plan


def as_planned(context: StageContext, section: Literal["teacher", "student"], plan: dict[str, Any]) -> StageContext:
    """The context with a plan in its recipe; without a plan, as it is."""
    if not plan:
        return context
    size, recipe = _size(plan), context.recipe
    wanted: dict[str, Any] = {"strategy": size.strategy}
    wanted |= {"views": size.views} if size.views else {}
    wanted |= {"epochs" if size.strategy == "full" else "tuning_epochs": size.epochs} if size.epochs else {}
    config = getattr(recipe, section).model_copy(update=wanted)
    # A checkpoint of another plan must not be continued.
    return replace(
        context, recipe=recipe.model_copy(update={section: config}), inputs=hash_of([context.inputs, wanted])
    )


def subject_of(
    classifier: Classifier,
    config: ModelConfig,
    strategy: Strategy,
    index: ImageIndex,
    context: StageContext,
    contract: Contract | None = None,
) -> Subject:
    """A network with the images of a stage.

    Args:
        classifier: The network.
        config: How it is trained.
        strategy: 'full' also where 'auto' trains in full.
        index: The images.
        context: The stage's context.
        contract: Its own contract; the run's by default.
    """
    own = contract or context.contract
    samples = (*index.split("train"), *index.split("unlabelled"), *index.split("val"))
    views = Views(own, context.recipe.augment, context.recipe.seed)
    return Subject(classifier, config, strategy, own, index, samples, views)


def _planned(subject: Subject, context: StageContext, teachers: Teachers, elapsed_s: float) -> dict[str, Any]:
    """Measure, choose, and say what was chosen."""
    with context.reporter.library("planning"):
        job = _job(subject, context, teachers)
        others = _later(subject, job, context)
    minutes = context.recipe.train_minutes
    spent_s = sum(_training_s(run) for run in context.earlier)
    left_s = 60 * minutes - spent_s - elapsed_s
    least_s = job.least_s + sum(other.least_s for other in others)
    if left_s < least_s and not context.earlier:
        enough_s = _SPARE * (60 * minutes - left_s + least_s)
        rounded_s = _ROUNDED_S * math.ceil(enough_s / _ROUNDED_S)
        problem = f"{duration(60 * minutes)} is too short for this network and these images on this machine"
        raise ConfigError("train_minutes", problem, hint=f"The least that would do is --time {rounded_s}s.")
    plan = plan_for(job, divided(left_s, job, others))
    size = plan.size if plan else min(sizes_of(job.work), key=job.seconds)
    share = share_of(job, others)
    _say(plan, job, size, share, left_s, context)
    expected = {name: round(seconds, 1) for name, seconds in bill(job.work, job.costs, size).items()}
    return {"minutes": minutes, "strategy": size.strategy, "views": size.views, "epochs": size.epochs} | {
        "expected_seconds": expected
    }


def _say(plan: Plan | None, job: Job, size: Size, share: float, left_s: float, context: StageContext) -> None:
    total = f"{duration(60 * context.recipe.train_minutes)}"
    if plan is None:
        short = f"Little is left of {total} ({duration(max(0.0, left_s))})"
        context.reporter.say(f"{short}; planned is the least, {size.sentence()}: {_bill(job, size)}.")
        return
    part = f"Planned for {total}" + (f", of which this network gets {share:.0%}" if share < 1 else "")
    context.reporter.say(f"{part}: {size.sentence()}: {_bill(job, size)}.")
    used_s = 60 * context.recipe.train_minutes - left_s
    further_s = used_s + plan.further_s / share
    more = f"With {duration(further_s)}: {plan.further.sentence()}." if plan.further else "More time would not be used."
    context.reporter.say(more)


def _job(subject: Subject, context: StageContext, teachers: Teachers) -> Job:
    costs, storable = measured(subject, context)
    grid, index = grid_of(subject.index, context), subject.index
    full = subject.strategy == "full"
    crosses = grid.augmented is None and not full
    judging = 0 if crosses else len(index.split("val"))
    work = Work(
        strategy=subject.strategy,
        learned=len(grid.samples) - judging,
        judged=judging,
        tested=len(index.split("test")),
        crosses=crosses,
        ways=2 if teachers.answer_s and subject.strategy == "auto" else 1,
        looked_at=0 if full or subject.config.weights == "none" else looked_at(len(grid.samples) - judging),
        stored_views=storable,
        answered=teachers.answered,
    )
    standard = _standard(subject, len(grid.samples), taught=teachers.answer_s > 0)
    return Job(work, replace(costs, answer_s=teachers.answer_s), standard)


def _standard(subject: Subject, images: int, *, taught: bool) -> Size:
    config = subject.config
    views = most_views(images) if config.views == "auto" else config.views
    if subject.strategy == "full":
        return Size("full", 0, config.epochs)
    epochs = 0 if subject.strategy == "features" else config.epochs_from_head(taught=taught)
    return Size(subject.strategy, views, epochs)


def _later(subject: Subject, job: Job, context: StageContext) -> list[Job]:
    """The networks that share the time and are trained afterwards, each taught by the one before."""
    found: list[Job] = []
    answer_s = job.costs.view_s
    for recipe in context.later:
        found.append(_job(_student(recipe, subject, context), context, Teachers(answer_s)))
        answer_s = found[-1].costs.view_s
    return found


def _student(recipe: Recipe, subject: Subject, context: StageContext) -> Subject:
    """A later student, with random weights: it is timed, not trained."""
    config, index, labels = recipe.student, subject.index, len(context.contract.labels)
    contract = student_contract(context.contract, index, config.image_size, native_input(config))
    with torch.random.fork_rng():
        plain = config.model_copy(update={"weights": "none"})
        classifier, _ = build_classifier(plain, labels, contract.height, seed=0)
    in_full = (
        config.weights == "none"
        or len(index.split("train")) > MOST_IMAGES
        or not is_linear(classifier, labels, contract.height)
    )
    strategy = "full" if config.strategy == "auto" and in_full else config.strategy
    return subject_of(classifier, config, strategy, index, context, contract)


def _training_s(run: Any) -> float:
    record = run.stage("finetune") or run.stage("distill") or {}
    return float(record.get("seconds", 0.0))


def _size(plan: dict[str, Any]) -> Size:
    return Size(plan["strategy"], plan["views"], plan["epochs"])


def _bill(job: Job, size: Size) -> str:
    """The time with its parts, in words; where a trial decides, it is the most."""
    parts = ", ".join(f"{name} {duration(seconds)}" for name, seconds in bill(job.work, job.costs, size).items())
    bound = "up to " if size.strategy in ("auto", "gradual") else ""
    return f"{bound}{duration(job.seconds(size))} ({parts})"
