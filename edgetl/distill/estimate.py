"""How long a distillation will take, measured on a few batches before it starts."""

import time
from collections.abc import Callable

import torch

from edgetl.data.dataset import ViewDataset
from edgetl.data.loader import worker_count
from edgetl.distill.lesson import Lesson
from edgetl.environment import machine
from edgetl.train.memory import kept_memory
from edgetl.train.trainee import side_of_step
from edgetl.zoo.classifier import Classifier

__all__ = ["duration", "say_what_to_expect"]

_PROBE = 16
_STEPS_LOOKED_AT = 50


def say_what_to_expect(lesson: Lesson, student: Classifier) -> None:
    """Say how long the teachers' answers and the student's training will take on this machine."""
    with lesson.context.reporter.library("estimating the time"), kept_memory():
        answers_s, student_s = _answers_seconds(lesson), _student_seconds(lesson, student)
    parts = f"teacher's answers {duration(answers_s)}, student {duration(student_s)}"
    lesson.context.reporter.say(f"Expected time: {duration(answers_s + student_s)} ({parts}).")


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def _answers_seconds(lesson: Lesson) -> float:
    views = lesson.question.view_count * len(lesson.samples)
    there = all(store.stated() is not None for stores in lesson.stores for store in stores.all)
    asked_s = 0.0 if there else sum(_teacher_seconds(lesson, number) for number in range(len(lesson.teachers)))
    decoded_s = 0.0 if there and not lesson.pixels else _decoding_seconds(lesson)
    return views * (asked_s / lesson.context.processes.count + decoded_s)


def _student_seconds(lesson: Lesson, student: Classifier) -> float:
    config = lesson.context.recipe.student
    total = lesson.epochs * lesson.order(seed=0).steps_per_epoch
    looked_at = range(0, total, max(1, total // _STEPS_LOOKED_AT))
    full = lesson.context.contract.height
    sides = [side_of_step(step, total, side=full, resize_from=config.resize_from) for step in looked_at]
    per_image_s = {side: _step_seconds(student, side) for side in set(sides)}
    decoded_s = 0.0 if lesson.pixels else _decoding_seconds(lesson)
    mean_s = sum(per_image_s[side] for side in sides) / len(sides)
    return lesson.epochs * len(lesson.samples) * (mean_s / lesson.context.processes.count + decoded_s)


def _decoding_seconds(lesson: Lesson) -> float:
    """Seconds per view, with all workers at work."""
    dataset = ViewDataset(lesson.index, lesson.samples, lesson.question.views)
    count = min(_PROBE, len(dataset))
    start = time.perf_counter()
    for position in range(count):
        _ = dataset[position, 0]
    workers = max(1, worker_count(lesson.index, lesson.context.recipe.data.workers))
    return (time.perf_counter() - start) / count / min(workers, int(machine()["cores"]))


def _teacher_seconds(lesson: Lesson, number: int) -> float:
    teacher, precision = lesson.teachers[number], lesson.stores[number].precision
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = teacher.classifier.to(device).eval()
    images_NHWC = _images(lesson).to(device)

    def ask() -> None:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            network(images_NHWC).sum().item()

    return _seconds(ask) / len(images_NHWC)


def _step_seconds(student: Classifier, side: int) -> float:
    """Seconds per image of a forward and a backward pass; the student is left as it was."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    before = {name: value.clone() for name, value in student.state_dict().items()}
    network = student.to(device).train()
    images_NHWC = torch.zeros((_PROBE, side, side, 3), dtype=torch.uint8).to(device)

    def learn() -> None:
        network.zero_grad()
        loss = network(images_NHWC).square().mean()
        loss.backward()
        loss.item()

    seconds = _seconds(learn) / _PROBE
    network.zero_grad()
    student.to("cpu").load_state_dict(before)
    return seconds


def _images(lesson: Lesson) -> torch.Tensor:
    contract = lesson.context.contract
    return torch.zeros((_PROBE, contract.height, contract.width, 3), dtype=torch.uint8)


def _seconds(work: Callable[[], None]) -> float:
    """Of the faster of two runs, after one to warm up."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times[1:])
