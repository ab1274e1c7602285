"""Train the student on the teachers' answers to the same pixels that it sees."""

import time
from collections.abc import Sequence
from dataclasses import replace

import torch

from edgetl.data.index import ImageIndex, read_index
from edgetl.distill.estimate import say_what_to_expect
from edgetl.distill.lesson import open_lesson, precision_of, teachers_of
from edgetl.distill.pretrained import alone_task, taught_task, views_of, why_in_full, why_not_asked
from edgetl.distill.teacher import Ensemble, Teacher
from edgetl.distill.visits import view_count
from edgetl.runs.folder import RunFolder
from edgetl.runs.stage import StageContext, StageResult
from edgetl.train.balance import balance_of, say_balance
from edgetl.train.evaluation import evaluate
from edgetl.train.in_time import Teachers, in_time, subject_of
from edgetl.train.measuring import Subject, answering_seconds
from edgetl.train.probe import Probe
from edgetl.train.task import Outcome, Task
from edgetl.train.trained import write_trained
from edgetl.train.transfer import transfer
from edgetl.zoo.build import build_classifier
from edgetl.zoo.classifier import Classifier

__all__ = ["run"]


def run(context: StageContext) -> StageResult:
    """Distill `context.teachers` into `recipe.student`; writes `model.safetensors` and `metrics.jsonl`."""
    start, index = time.perf_counter(), read_index(context.folder)
    recipe, contract = context.recipe, context.contract
    with context.reporter.library("building the model"):
        teachers = teachers_of(context)
        student, model = build_classifier(recipe.student, len(contract.labels), contract.height, seed=recipe.seed)
    _warn_of_size(model["parameters"], teachers, context)
    balance = balance_of(recipe.student, index)
    for line in (say_balance(balance, recipe.student, index, "student"), _unmixed(context)):
        if line and context.processes.first:
            context.reporter.say(line)
    why = why_in_full(student, model, index, context)
    subject = subject_of(student, recipe.student, "full" if why else recipe.student.strategy, index, context)
    if not why:
        subject = replace(subject, views=views_of(index, context).views)
    is_timed = context.processes.first and (recipe.train_minutes or not why)
    asked = _asked(teachers, subject, context) if is_timed else Teachers()
    context, plan = in_time(subject, context, "student", asked, time.perf_counter() - start)
    outcome = _trained_in_full(student, context, why) if why else _from_probe(student, teachers, index, context)
    if context.processes.first:
        context.reporter.say(f"Chosen: {outcome.learned['strategy']}, since {outcome.learned['reason']}.")
    return write_trained(
        student, model, outcome, index, context, _lineage(teachers, index, context), balance=balance, plan=plan
    )


def _asked(teachers: Sequence[Teacher], subject: Subject, context: StageContext) -> Teachers:
    """What asking the teachers costs."""
    recipe, index, half = context.recipe, subject.index, precision_of(context) == "bf16"
    learned = len(index.split("train")) + len(index.split("unlabelled"))
    answer_s = 0.0
    for teacher in teachers:
        own = teacher.run.contract
        views = replace(subject.views, contract=own)
        asked = replace(subject, classifier=teacher.classifier, contract=own, views=views)
        answer_s += answering_seconds(asked, context, half=half)
    return Teachers(answer_s, lambda epochs: view_count(recipe, learned, epochs))


def _trained_in_full(student: Classifier, context: StageContext, why: str) -> Outcome:
    lesson, recipe = open_lesson(context, "distill"), context.recipe
    if context.processes.first:
        say_what_to_expect(lesson, student)
    lesson.prepare()
    records = lesson.teach(student, recipe.seed, "distill/student", f"Distilling into {recipe.student.model}")
    return Outcome.in_full(records, len(lesson.index.split("val")), why)


def _from_probe(student: Classifier, teachers: Sequence[Teacher], index: ImageIndex, context: StageContext) -> Outcome:
    """Teach a pretrained student; 'auto' also tries it on labels alone, first, and asks no teacher in vain."""
    name, seed, why = "distill", context.recipe.seed, ""

    def taught() -> Task:
        return taught_task(student, teachers, index, context, name=name, seed=seed)

    def taught_if_worth_it(probe: Probe) -> Task | None:
        nonlocal why
        why = why_not_asked(teachers, probe.top1, len(probe.right_N), index)
        if why and context.processes.first:
            context.reporter.say(f"Not asked: {why}.")
        return None if why else taught()

    if context.recipe.student.strategy != "auto":
        return transfer(taught())
    outcome = transfer(alone_task(student, index, context, name=name, seed=seed), taught_if_worth_it)
    return replace(outcome, learned={**outcome.learned, "not_asked": why}) if why else outcome


def _unmixed(context: StageContext) -> str:
    """A sentence if the recipe mixes images for training on labels; empty otherwise."""
    if not context.recipe.augment.mixes:
        return ""
    return (
        "augment.mixup and augment.cutmix mix images where labels alone teach; what a teacher answers is mixed by"
        " distill.mixup."
    )


def _warn_of_size(own: int, teachers: Sequence[Teacher], context: StageContext) -> None:
    largest = max(teacher.parameters for teacher in teachers)
    if own > largest:
        context.reporter.say(
            f"Warning: the student is larger than its teacher ({own / 1e6:.2f} against {largest / 1e6:.2f} million "
            "parameters). It will hardly learn more than from the labels alone, and will be slower on the device."
        )


def _lineage(teachers: Sequence[Teacher], index: ImageIndex, context: StageContext) -> dict[str, object]:
    return {
        "teachers": [
            {
                "run": _place(teacher.run, context.folder),
                "model": teacher.name,
                "weights_sha256": teacher.weights_sha256,
                "test_top1": _top1(teacher, index, context),
            }
            for teacher in teachers
        ],
        # Several act as one.
        **({"ensemble_test_top1": _scored(teachers, index, context)} if len(teachers) > 1 else {}),
        "unlabelled_images": len(index.split("unlabelled")),
    }


def _place(teacher: RunFolder, student: RunFolder) -> str:
    nested = teacher.path.parent.resolve() == student.path.resolve()
    return teacher.path.name if nested else str(teacher.path.resolve())


def _top1(teacher: Teacher, index: ImageIndex, context: StageContext) -> float:
    """A teacher's top-1 on this run's test images: from its manifest, or computed if it was tested on others."""
    indices = (read_index(teacher.run), index)
    tested, ours = ({sample.sha256 for sample in each.split("test")} for each in indices)
    same_classes = teacher.run.contract.labels == context.contract.labels
    if tested == ours and same_classes:
        metrics = teacher.run.manifest["metrics"]
        return float(metrics["finetune" if teacher.run.role == "teacher" else "distill"]["test_top1"])
    return _scored([teacher], index, context)


def _scored(teachers: Sequence[Teacher], index: ImageIndex, context: StageContext) -> float:
    own = teachers[0].run.contract
    return evaluate(Ensemble(teachers), index, "test", context, torch.device("cpu"), contract=own).top1
