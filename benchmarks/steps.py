"""The cost of a distillation step beside a plain one, the gain of reusing memory, and the cost of saving.

All three are ratios, measured in turns in one process. Writes `benchmarks/results/steps-MACHINE.json`.

- distillation: a step on stored answers and varied views, divided by a step on labels and stored views.
- memory: a step with glibc's defaults, divided by one that reuses memory (edgetl/train/memory.py).
- saving: seconds spent on checkpoints, divided by seconds of training, for a large and a small network at the recipe's
  default.

Run: `python benchmarks/steps.py [--rounds N] [--seconds S]`.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from results import write_result

from edgetl.data.dataset import Batch
from edgetl.data.repeats import varied
from edgetl.data.store import ArrayStore
from edgetl.distill.answers import Answers, AnswerStores
from edgetl.distill.objective import FromTeacher
from edgetl.recipe.networks import DistillConfig, StudentConfig
from edgetl.train.checkpoint import Checkpoint, Rhythm, save_checkpoint
from edgetl.train.labels import FromLabels
from edgetl.train.memory import kept_memory
from edgetl.train.optimizer import make_optimizer
from edgetl.train.state import Progress, TrainingState
from edgetl.train.trainee import Objective, Trainee
from edgetl.zoo.build import build_classifier

_SIDE, _BATCH, _IMAGES, _VIEWS, _CLASSES = 224, 32, 512, 4, 10
_STUDENTS = ("mobilenetv3_small", "mobilenetv2_050")
_LIMITS = {"distillation_to_plain": 1.05, "saving_fraction": 0.035}


class Student:
    """A student with stored views, trained with one of the two losses."""

    def __init__(self, model: str, objective: Objective, views_VNHWC: np.ndarray[Any, Any], vary: bool = False) -> None:
        config = StudentConfig(model=model, weights="none")
        classifier, _ = build_classifier(config, _CLASSES, _SIDE, seed=0)
        self.trainee = Trainee(classifier, objective, _SIDE).train()
        self.optimizer = make_optimizer(self.trainee, config, 0.001)
        self._views_VNHWC = views_VNHWC
        self._vary = vary
        self._rng = np.random.default_rng(0)

    def step(self) -> None:
        """One optimizer step on a batch of stored views."""
        positions, view = self._rng.permutation(_IMAGES)[:_BATCH], int(self._rng.integers(_VIEWS))
        labels_N = torch.from_numpy(positions % _CLASSES)
        images_NHWC = self._views_VNHWC[view, positions]
        if self._vary:
            images_NHWC = varied(images_NHWC, seed=0, step=view, mirror=True, share=(0, 1))
        batch = Batch(
            torch.from_numpy(images_NHWC), labels_N, torch.from_numpy(positions), view, 0, labels_N, torch.zeros(_BATCH)
        )
        self.optimizer.zero_grad()
        self.trainee(batch).backward()
        self.optimizer.step()


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="pairs of steps (default 40)")
    parser.add_argument(
        "--seconds", type=float, default=120.0, help="training per network for the saving (default 120)"
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        views_VNHWC, answers = _views(Path(folder)), _answers(Path(folder))
        distillation, memory = {}, {}
        for model in _STUDENTS:
            taught = Student(model, FromTeacher(DistillConfig(), answers), views_VNHWC, vary=True)
            plain = Student(model, FromLabels(0.0), views_VNHWC)
            with kept_memory():
                distillation[model] = ratio(taught.step, plain.step, asked.rounds)
            memory[model] = ratio(plain.step, plain.step, max(6, asked.rounds // 4), steps=6, keep_in_the_other=True)
        saving = {m: _saving(m, Path(folder), asked.seconds, views_VNHWC) for m in ("resnet50", "mobilenetv2_050")}
    reached = {
        "distillation_to_plain": distillation,
        "glibc_to_kept_memory": memory,
        "saving_fraction": saving,
    }
    write_result("steps", {"reached": reached, "limits": _LIMITS, "side": _SIDE, "batch_size": _BATCH})


def _views(folder: Path) -> np.ndarray[Any, Any]:
    shape = (_VIEWS, _IMAGES, _SIDE, _SIDE, 3)
    views_VNHWC = np.lib.format.open_memmap(folder / "views.npy", mode="w+", dtype=np.uint8, shape=shape)
    rng = np.random.default_rng(0)
    for view in views_VNHWC:
        view[:] = rng.integers(0, 256, shape[1:], np.uint8)
    return views_VNHWC


def _answers(folder: Path) -> Answers:
    store = ArrayStore(folder / "answers", "logits", (_VIEWS, _IMAGES, _CLASSES), "<f2", {"top_k": None})
    store.prepare()
    for view in range(_VIEWS):
        store.write((view, 0, _IMAGES), np.random.default_rng(view).normal(0, 3, (_IMAGES, _CLASSES)), rank=0)
    return Answers([AnswerStores("fp32", store, None)], _CLASSES)


def ratio(
    one: Callable[[], None],
    other: Callable[[], None],
    rounds: int,
    *,
    steps: int = 1,
    keep_in_the_other: bool = False,
) -> dict[str, float]:
    """Median ratio of two works measured in turns, with the 95 % bootstrap interval of the median."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 2):
        for number, work in enumerate((one, other)):
            with kept_memory() if number and keep_in_the_other else nullcontext():
                work()  # the first call allocates the memory that the others reuse
                start = time.perf_counter()
                for _ in range(steps):
                    work()
                seconds[number].append(time.perf_counter() - start)
    ratios = np.array(seconds[0][2:]) / np.array(seconds[1][2:])
    picks = np.random.default_rng(0).choice(ratios, (2000, len(ratios)))
    low, high = np.percentile(np.median(picks, axis=1), [2.5, 97.5])
    return {
        "ratio": round(float(np.median(ratios)), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
        "milliseconds": round(statistics.median(seconds[0][2:]) * 1e3 / steps, 2),
    }


def _saving(model: str, folder: Path, seconds: float, views_VNHWC: np.ndarray[Any, Any]) -> float:
    """Fraction of the time spent on checkpoints."""
    student = Student(model, FromLabels(0.0), views_VNHWC)
    state = TrainingState(student.trainee, student.optimizer, 0.0)
    rhythm, saved_s, steps = Rhythm(20.0), 0.0, 0
    place, start = folder / f"checkpoints-{model}", time.perf_counter()
    with kept_memory():
        while time.perf_counter() - start < seconds:
            student.step()
            steps += 1
            if rhythm.is_time():
                before = time.perf_counter()
                tensors = state._tensors(Progress(steps))
                rhythm.save(lambda kept=tensors, done=steps: save_checkpoint(place, "", Checkpoint(done, []), kept))
                saved_s += time.perf_counter() - before
    return round(saved_s / (time.perf_counter() - start), 4)


if __name__ == "__main__":
    main()
