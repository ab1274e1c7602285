"""The price of few views: top-1 by the number of views that the teacher answers, compared with one per epoch.

A student learns for `--epochs` from views that repeat after `teacher_views` epochs. With as many views as epochs, every
view is new, as with a teacher that answers online. Images, order and start are the same, for several seeds; the
difference has edgetl's interval over images and seeds. Writes `benchmarks/results/views-MACHINE.json`.

Run: `python benchmarks/views.py --data DIR --teacher RUN [--student NAME] [--epochs N] [--views 9]`.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from results import write_result

from edgetl.chain.plan import Parent, PlannedRun
from edgetl.chain.running import execute
from edgetl.devices.profiles import find_target
from edgetl.distill.lesson import Lesson, open_lesson
from edgetl.distill.paired import paired_gain
from edgetl.recipe.checking import build
from edgetl.recipe.fields import Recipe
from edgetl.runs.folder import RunFolder
from edgetl.runs.reporter import Reporter
from edgetl.runs.stage import StageContext
from edgetl.train.evaluation import evaluate
from edgetl.zoo.build import build_classifier

_LIMITS = {"points_lost_to_online": 0.3}


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train, val and test")
    parser.add_argument("--teacher", type=Path, required=True, help="run folder of a teacher")
    parser.add_argument("--student", default="mobilenetv3_small", help="a model (default mobilenetv3_small)")
    parser.add_argument("--epochs", type=int, default=30, help="passes over the images (default 30)")
    parser.add_argument("--views", default="9", help="numbers of views to compare (default 9)")
    parser.add_argument("--seeds", default="0,1,2", help="seeds (default 0,1,2)")
    asked = parser.parse_args()
    counts = [*map(int, asked.views.split(",")), asked.epochs]
    seeds = list(map(int, asked.seeds.split(",")))
    with tempfile.TemporaryDirectory() as place:
        lesson = _lesson(asked, Path(place))
        lesson.prepare()
        right = {count: np.stack([_right(lesson, count, seed) for seed in seeds]) for count in counts}
    online = right[asked.epochs]
    reached: dict[str, Any] = {"online_top1": online.mean(1).round(4).tolist()}
    for count in counts[:-1]:
        gain = paired_gain(right[count], online).to_dict()
        reached[f"views_{count}"] = {"top1": right[count].mean(1).round(4).tolist(), "against_online": gain}
    labels = {"epochs": asked.epochs, "student": asked.student, "train_images": len(lesson.samples)}
    write_result("views", {"reached": reached, "limits": _LIMITS, **labels})


def _lesson(asked: argparse.Namespace, place: Path) -> Lesson:
    """A lesson with all views, for every student."""
    teacher = RunFolder.open(asked.teacher)
    student = {"model": asked.student, "weights": "none", "epochs": asked.epochs}
    recipe = build(
        Recipe,
        {
            "data": {"path": str(asked.data)},
            "teacher": {"model": str(asked.teacher)},
            "student": student,
            "distill": {"teacher_views": asked.epochs, "keep_pixels": "always"},
        },
        "",
    )
    reporter = Reporter()
    parents = (Parent("teacher", teacher.path),)
    folder = execute([PlannedRun("student", place / "student", recipe, ("data",), parents)], reporter)
    context = StageContext(recipe, find_target(recipe.target), folder, place, reporter, "", (teacher,))
    return open_lesson(context, "distill")


def _right(lesson: Lesson, views: int, seed: int) -> np.ndarray[Any, Any]:
    """Whether a student of this number of views is right, per test image."""
    fewer = replace(lesson, grid=replace(lesson.grid, view_count=views))
    config, contract = lesson.context.recipe.student, lesson.context.contract
    student, _ = build_classifier(config, len(contract.labels), contract.height, seed=seed)
    fewer.teach(student, seed, f"distill/{views}-{seed}", f"{views} views, seed {seed}")
    score = evaluate(student, lesson.index, "test", lesson.context, torch.device("cpu"))
    print(json.dumps({"views": views, "seed": seed, "test_top1": score.top1}), file=sys.stderr)
    return score.right_N


if __name__ == "__main__":
    main()
