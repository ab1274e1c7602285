"""How long a distillation will take on this machine, estimated before it starts."""

from collections.abc import Sequence

import torch

from edgetl.data.dataset import ViewDataset
from edgetl.data.loader import worker_count
from edgetl.data.store import ArrayStore, Piece
from edgetl.distill.lesson import Lesson
from edgetl.runs.words import duration
from edgetl.train.estimate import PROBE_IMAGES, decoding_seconds, fastest_seconds, training_seconds
from edgetl.train.memory import kept_memory
from edgetl.zoo.classifier import Classifier

__all__ = ["say_what_to_expect"]


def say_what_to_expect(lesson: Lesson, student: Classifier, *, students: int = 1) -> None:
    """Report how long the teachers' answers and the training of the students will take."""
    context, config = lesson.context, lesson.context.recipe.student
    with context.reporter.library("estimating the time"), kept_memory():
        decoding_s = _decoding_seconds(lesson)
        answers_s = _answers_seconds(lesson, decoding_s)
        student_s = training_seconds(
            student,
            config,
            lesson.order(seed=0),
            side=context.contract.height,
            processes=context.processes.count,
            decoding_s=0.0 if lesson.pixels else decoding_s,
        )
    trained = "student" if students == 1 else f"{students} students"
    parts = f"teacher's answers {duration(answers_s)}, {trained} {duration(students * student_s)}"
    context.reporter.expect(answers_s + students * student_s, f" ({parts})")


def _answers_seconds(lesson: Lesson, decoding_s: float) -> float:
    """Seconds for the missing answers and pixels."""
    asked_s = 0.0
    for number, stores in enumerate(lesson.stores):
        if missing := _missing_views(lesson, stores.all):
            asked_s += missing * _teacher_seconds(lesson, number)
    every = [store for stores in lesson.stores for store in stores.all] + ([lesson.pixels] if lesson.pixels else [])
    return asked_s / lesson.context.processes.count + decoding_s * _missing_views(lesson, every)


def _missing_views(lesson: Lesson, stores: Sequence[ArrayStore]) -> int:
    """Views of images that at least one of the stores lacks."""
    pieces = set(lesson.grid.pieces())
    missing: set[Piece] = set().union(*(pieces - store.noted().keys() for store in stores))
    return sum(stop - start for _, start, stop in missing)


def _decoding_seconds(lesson: Lesson) -> float:
    dataset = ViewDataset(lesson.index, lesson.samples, lesson.grid.views)
    return decoding_seconds(dataset, worker_count(lesson.index, lesson.context.recipe.data.workers))


def _teacher_seconds(lesson: Lesson, number: int) -> float:
    """Seconds per image."""
    teacher, precision = lesson.teachers[number], lesson.stores[number].precision
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network, contract = teacher.classifier.to(device).eval(), teacher.run.contract
    images_NHWC = torch.zeros((PROBE_IMAGES, contract.height, contract.width, 3), dtype=torch.uint8, device=device)

    def ask() -> None:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            network(images_NHWC).sum().item()

    return fastest_seconds(ask) / PROBE_IMAGES
