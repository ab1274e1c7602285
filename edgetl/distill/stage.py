"""Train the student on the teachers' answers to the same pixels that it sees."""

import torch

from edgetl.data.index import read_index
from edgetl.distill.estimate import say_what_to_expect
from edgetl.distill.lesson import Lesson, open_lesson
from edgetl.distill.teacher import Ensemble, Teacher
from edgetl.runs.folder import RunFolder
from edgetl.runs.stage import StageContext, StageResult
from edgetl.train.evaluation import evaluate
from edgetl.train.task import Outcome
from edgetl.train.trained import write_trained
from edgetl.zoo.build import build_classifier

__all__ = ["run"]


def run(context: StageContext) -> StageResult:
    """Distill `context.teachers` into `recipe.student`; writes `model.safetensors` and `metrics.jsonl`."""
    recipe, contract = context.recipe, context.contract
    with context.reporter.library("building the model"):
        lesson = open_lesson(context, "distill")
        student, model = build_classifier(recipe.student, len(contract.labels), contract.height, seed=recipe.seed)
    _warn_of_size(model["parameters"], lesson.teachers, context)
    if context.processes.first:
        say_what_to_expect(lesson, student)
    lesson.prepare()
    records = lesson.teach(student, recipe.seed, "distill/student", f"Distilling into {recipe.student.model}")
    learned = {"strategy": "full", "reason": "a student learns all of its layers from the teacher"}
    outcome = Outcome(records, records[-1]["val_top1"], len(lesson.index.split("val")), learned)
    return write_trained(student, model, outcome, lesson.index, context, _lineage(lesson))


def _warn_of_size(own: int, teachers: tuple[Teacher, ...], context: StageContext) -> None:
    largest = max(teacher.parameters for teacher in teachers)
    if own > largest:
        context.reporter.say(
            f"Warning: the student is larger than its teacher ({own / 1e6:.2f} against {largest / 1e6:.2f} million "
            "parameters). It will hardly learn more than from the labels alone, and will be slower on the device."
        )


def _lineage(lesson: Lesson) -> dict[str, object]:
    context = lesson.context
    return {
        "teachers": [
            {
                "run": _place(teacher.run, context.folder),
                "model": teacher.name,
                "weights_sha256": teacher.weights_sha256,
                "test_top1": _top1(teacher, lesson),
            }
            for teacher in lesson.teachers
        ],
        **_together(lesson),
        "unlabelled_images": len(lesson.index.split("unlabelled")),
    }


def _place(teacher: RunFolder, student: RunFolder) -> str:
    nested = teacher.path.parent.resolve() == student.path.resolve()
    return teacher.path.name if nested else str(teacher.path.resolve())


def _top1(teacher: Teacher, lesson: Lesson) -> float:
    """A teacher's top-1 on this run's test images: from its manifest, or computed if it was tested on others."""
    indices = (read_index(teacher.run), lesson.index)
    tested, ours = ({sample.sha256 for sample in index.split("test")} for index in indices)
    same_classes = teacher.run.contract.labels == lesson.context.contract.labels
    if tested == ours and same_classes:
        metrics = teacher.run.manifest["metrics"]
        return float(metrics["finetune" if teacher.run.role == "teacher" else "distill"]["test_top1"])
    return _scored([teacher], lesson)


def _together(lesson: Lesson) -> dict[str, float]:
    """Top-1 of several teachers as one ensemble."""
    return {"ensemble_test_top1": _scored(lesson.teachers, lesson)} if len(lesson.teachers) > 1 else {}


def _scored(teachers: list[Teacher] | tuple[Teacher, ...], lesson: Lesson) -> float:
    return evaluate(Ensemble(teachers), lesson.index, "test", lesson.context, torch.device("cpu")).top1
