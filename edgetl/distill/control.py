"""The control run: did the teacher help?

For each seed, the student is trained with and without the teacher: from the same start, on as many batches, with the
images in the same order. Without the teacher it sees a new view in every epoch, since it needs no answers; a pretrained
student, which learns from stored activations, sees the same views.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgetl.data.index import read_index
from edgetl.data.loader import Order
from edgetl.distill.estimate import say_what_to_expect
from edgetl.distill.lesson import Lesson, open_lesson, teachers_of
from edgetl.distill.paired import paired_gain
from edgetl.distill.pretrained import alone_task, taught_task, why_in_full
from edgetl.distill.schema import CONTROL_FILE, CONTROL_SCHEMA
from edgetl.runs.files import write_atomic
from edgetl.runs.stage import StageContext, StageResult
from edgetl.train.balance import balance_of
from edgetl.train.evaluation import evaluate
from edgetl.train.in_time import as_planned
from edgetl.train.labels import FromLabels
from edgetl.train.loop import Training, fit
from edgetl.train.transfer import transfer
from edgetl.zoo.build import build_classifier, load_classifier
from edgetl.zoo.classifier import Classifier

__all__ = ["run"]

_NAME = "control"


def run(context: StageContext) -> StageResult:
    """Train `recipe.control.seeds` students with and without the teacher; writes `control.json`."""
    context = as_planned(context, "student", (context.folder.stage("distill") or {}).get("planned", {}))
    context = _with_equal_epochs(context)
    first = context.recipe.seed
    seeds = range(first, first + context.recipe.control.seeds)
    in_full = why_in_full(*_student(context, first), read_index(context.folder), context)
    taught_SN, alone_SN = (_compare_in_full if in_full else _compare_from_probe)(context, seeds)
    gain = paired_gain(taught_SN, alone_SN)
    found = {
        "schema_version": CONTROL_SCHEMA,
        "gain": gain.to_dict(),
        "verdict": gain.verdict,
        "top1_with_teacher": taught_SN.mean(1).tolist(),
        "top1_without_teacher": alone_SN.mean(1).tolist(),
        "first_seed": first,
    }
    if context.processes.first:
        write_atomic(context.out / CONTROL_FILE, json.dumps(found, indent=1) + "\n")
    context.reporter.say(gain.sentence())
    return StageResult(metrics={"gain_points": gain.points, "gain_low": gain.low, "gain_high": gain.high})


def _with_equal_epochs(context: StageContext) -> StageContext:
    """The context in which a student without the teacher has the epochs of one with it, too."""
    student = context.recipe.student
    equal = student.model_copy(update={"tuning_epochs": student.epochs_from_head(taught=True)})
    return replace(context, recipe=context.recipe.model_copy(update={"student": equal}))


def _compare_in_full(context: StageContext, seeds: range) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether students that are trained in full are right with and without the teacher, per seed and test image."""
    lesson = open_lesson(context, _NAME)
    if context.processes.first:
        say_what_to_expect(lesson, _student(context, seeds[0])[0], students=2 * len(seeds) - 1)
    if len(seeds) > 1:
        lesson.prepare()
    return np.stack([_taught(lesson, seed) for seed in seeds]), np.stack([_alone(lesson, seed) for seed in seeds])


def _compare_from_probe(context: StageContext, seeds: range) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The same of pretrained students, each of which starts from its own probe."""
    teachers, index = teachers_of(context), read_index(context.folder)

    def right(way: str, seed: int) -> NDArray[np.bool_]:
        def train(student: Classifier, place: str) -> None:
            if way == "taught":
                transfer(taught_task(student, teachers, index, context, name=place, seed=seed))
            else:
                transfer(alone_task(student, index, context, name=place, seed=seed))

        return _once(context, f"{way}-{seed}", seed, train)

    return np.stack([right("taught", seed) for seed in seeds]), np.stack([right("alone", seed) for seed in seeds])


def _taught(lesson: Lesson, seed: int) -> NDArray[np.bool_]:
    """Whether a student with the teacher is right, per test image; the student of the first seed is the run's own."""
    context = lesson.context
    if seed == context.recipe.seed:
        return _right(load_classifier(context.folder), context)
    title = f"With the teacher, seed {seed}"
    return _once(context, f"taught-{seed}", seed, lambda student, place: lesson.teach(student, seed, place, title))


def _alone(lesson: Lesson, seed: int) -> NDArray[np.bool_]:
    """Whether a student without the teacher is right, per test image."""
    training, context = _without_teacher(lesson, seed), lesson.context
    return _once(context, f"alone-{seed}", seed, lambda student, _: fit(student, training, context))


def _without_teacher(lesson: Lesson, seed: int) -> Training:
    config = lesson.context.recipe.student
    samples = lesson.index.split("train")
    balance = balance_of(config, lesson.index)
    # It cannot use images without labels, so it sees the others more often: as many batches in all.
    steps = lesson.epochs * lesson.order(seed).steps_per_epoch
    classes = balance.drawn([sample.label for sample in samples])
    order = Order(len(samples), config.batch, seed, classes=classes)
    return Training(
        title=f"Without the teacher, seed {seed}",
        checkpoints=f"{_NAME}/alone-{seed}",
        section="student",
        config=config,
        index=lesson.index,
        samples=samples,
        views=lesson.grid.views,
        order=order,
        objective=FromLabels(config.label_smoothing, balance.loss_weights),
        epochs=max(1, round(steps / order.steps_per_epoch)),
    )


def _once(context: StageContext, name: str, seed: int, train: Callable[[Classifier, str], object]) -> NDArray[np.bool_]:
    """Train one student and note on which images it is right; a resumed control run reads the note instead."""
    place = f"{_NAME}/{name}"
    note = context.folder.checkpoint_dir(place) / "right.json"
    known = _read(note, context.inputs) if context.processes.first else None
    known = context.processes.agree(known)
    if known is None:
        student, _ = _student(context, seed)
        train(student, place)
        known = _right(student.to("cpu"), context).tolist()
        if context.processes.first:
            note.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(note, json.dumps({"inputs": context.inputs, "right": known}))
    return np.array(known, np.bool_)


def _read(note: Path, inputs: str) -> list[bool] | None:
    if not note.is_file():
        return None
    stated = json.loads(note.read_bytes())
    right: list[bool] = stated["right"]
    return right if stated["inputs"] == inputs else None


def _student(context: StageContext, seed: int) -> tuple[Classifier, dict[str, Any]]:
    contract = context.contract
    return build_classifier(context.recipe.student, len(contract.labels), contract.height, seed=seed)


def _right(student: Classifier, context: StageContext) -> NDArray[np.bool_]:
    return evaluate(student, read_index(context.folder), "test", context, torch.device("cpu")).right_N
