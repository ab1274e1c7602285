"""A student with pretrained weights: it starts from its own probe, and keeps the teacher only if the teacher helps."""

from collections.abc import Sequence
from typing import Any

from edgetl.data.grid import ViewGrid
from edgetl.data.index import ImageIndex, read_index
from edgetl.distill.answers import Answers, answer_stores, teachers_view, write_answers
from edgetl.distill.lesson import feature_width, precision_of
from edgetl.distill.settled import losses_of
from edgetl.distill.space import check_space
from edgetl.distill.teacher import Teacher
from edgetl.distill.teaching import TeacherTeaching
from edgetl.runs.intervals import accuracy_interval
from edgetl.runs.stage import StageContext
from edgetl.runs.words import accuracy
from edgetl.train.backbone import is_linear
from edgetl.train.balance import balance_of
from edgetl.train.strategies.partial import HEAD_ALONE
from edgetl.train.task import LabelTeaching, Task
from edgetl.train.transfer import MOST_IMAGES, grid_of, open_task
from edgetl.zoo.classifier import Classifier

__all__ = ["alone_task", "taught_task", "views_of", "why_in_full", "why_not_asked"]


def why_in_full(student: Classifier, model: dict[str, Any], index: ImageIndex, context: StageContext) -> str:
    """Why all layers of the student are trained from the start; empty if it starts from its probe."""
    config, contract = context.recipe.student, context.contract
    if config.strategy == "full":
        return "the recipe asks for it"
    if config.strategy != "auto":
        return ""
    if config.weights == "none":
        return "the student has no pretrained weights to keep"
    if "pruned" in model or not model["origin"].get("head_replaced", True):
        return "the student goes on with a training that was begun"
    if len(index.split("train")) + len(index.split("unlabelled")) > MOST_IMAGES:
        return "there are images enough to train every layer"
    if not is_linear(student, len(contract.labels), contract.height):
        return "the student's answers are no linear function of its features"
    return ""


def views_of(index: ImageIndex, context: StageContext) -> ViewGrid:
    """The views that a student learns from which starts from its probe."""
    recipe = context.recipe
    mixup = 0.0 if recipe.distill.mixup == "auto" else recipe.distill.mixup
    return grid_of(index, context, recipe.student.views, mixup=mixup)


def alone_task(student: Classifier, index: ImageIndex, context: StageContext, *, name: str, seed: int) -> Task:
    """The student's task with true labels.

    Args:
        student: With its pretrained weights.
        index: The images.
        context: The stage's context.
        name: Name of the checkpoint folder.
        seed: Seeds the order of images; the views keep the recipe's seed.
    """
    config = context.recipe.student
    return open_task(
        student,
        views_of(index, context),
        LabelTeaching(config.label_smoothing, balance_of(config, index)),
        context,
        title=f"Distilling into {config.model}, without the teacher",
        name=f"{name}/alone",
        section="student",
        seed=seed,
    )


def taught_task(
    student: Classifier,
    teachers: Sequence[Teacher],
    index: ImageIndex,
    context: StageContext,
    *,
    name: str,
    seed: int,
) -> Task:
    """The student's task with the teachers' answers, which are computed if they are missing.

    The arguments are those of `alone_task`, and all teachers.

    Raises:
        EnvironmentFault: The answers do not fit on the disk.
    """
    recipe, grid = context.recipe, views_of(index, context)
    crosses = grid.augmented is None
    width, precision = feature_width(teachers, context), precision_of(context)
    asked = teachers_view(grid, teachers)
    stores = tuple(answer_stores(t, asked, context, precision=precision, feature_width=width) for t in teachers)
    if context.processes.first:
        check_space(stores, None, grid, grid.view_count, context.reporter)
    write_answers(grid, teachers, stores, None, context)
    taught = TeacherTeaching(
        losses_of(recipe.distill),
        Answers(stores, len(context.contract.labels), first_row=1),
        student,
        teacher_width=width,
        smoothing=recipe.student.label_smoothing,
        seed=seed,
        balance=balance_of(recipe.student, index),
        knows_judged=crosses,
        at_most=_best_on_new(teachers, index) if crosses else 1.0,
    )
    title = f"Distilling into {recipe.student.model}"
    return open_task(student, grid, taught, context, title=title, name=f"{name}/taught", section="student", seed=seed)


def why_not_asked(teachers: Sequence[Teacher], top1: float, images: int, index: ImageIndex) -> str:
    """Why teachers have nothing to teach a student whose head is right that often; empty if they may have.

    They are worse by more than luck: even the upper ends of their intervals are below the student's own head. A teacher
    that was judged on other images is asked, and so is one that has images without labels to tell about.

    Args:
        teachers: All of them.
        top1: The part of the images that the student's own head is right about, as a fraction of 1.
        images: How many these are.
        index: The student's images.
    """
    if index.split("unlabelled"):
        return ""
    found = []
    for judgement in _judgements(teachers, index):
        if judgement is None:
            return ""
        reached, judged = judgement
        _, at_most = accuracy_interval(reached, judged) or (reached, reached)
        if at_most >= top1:
            return ""
        found.append(accuracy(reached, judged))
    who = "the teacher is" if len(found) == 1 else "the teachers are"
    return (
        f"of what was not learned from, {who} right about {', '.join(found)}, this head about {accuracy(top1, images)}"
    )


def _best_on_new(teachers: Sequence[Teacher], index: ImageIndex) -> float:
    """What the best teacher is right about of what was new to it; 1 if that is not known of one of them."""
    judgements = _judgements(teachers, index)
    return max(1.0 if judgement is None else judgement[0] for judgement in judgements)


def _judgements(teachers: Sequence[Teacher], index: ImageIndex) -> list[tuple[float, int] | None]:
    """The part of images new to it that each teacher is right about, and how many these were.

    None for a teacher that learned from other images, and for one of which only the head was judged.
    """
    own, found = _known(index), []
    for teacher in teachers:
        record = teacher.run.stage("finetune") or teacher.run.stage("distill") or {}
        learned = record.get("learned", {})
        judged = 0 if learned.get("judged") == HEAD_ALONE else learned.get("val_images", 0)
        is_same = judged and _known(read_index(teacher.run)) == own
        found.append((record["metrics"]["val_top1"], judged) if is_same else None)
    return found


def _known(index: ImageIndex) -> set[str]:
    """The images that teach and judge, by their bytes."""
    return {sample.sha256 for split in ("train", "val") for sample in index.split(split)}
