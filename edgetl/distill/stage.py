"""Train the student on the teacher's answers to the very pixels that it sees."""

import torch

from edgetl.artifact import RunFolder
from edgetl.data.index import ImageIndex, read_index
from edgetl.data.loader import Batch
from edgetl.distill.losses import hinton_kd, with_labels
from edgetl.distill.teacher import teacher_logits
from edgetl.errors import RunFolderError
from edgetl.stage import StageContext, StageResult
from edgetl.train.evaluation import evaluate
from edgetl.train.loop import Objective, Training, fit
from edgetl.train.trained import write_trained
from edgetl.zoo.build import WEIGHTS_FILE, build_classifier, load_classifier
from edgetl.zoo.classifier import Classifier

__all__ = ["run"]


def run(context: StageContext) -> StageResult:
    """Distill `context.teacher` into `recipe.student`; writes `model.safetensors` and `metrics.jsonl`."""
    recipe, contract, teacher = context.recipe, context.contract, context.teacher
    if teacher is None:
        raise RunFolderError(f"{context.folder.path}: distillation needs a teacher's run folder (--teacher)")
    index = read_index(context.folder)
    views = min(recipe.distill.teacher_views, recipe.student.epochs)
    with context.reporter.library("building the model"):
        asked = load_classifier(teacher)
        student, model = build_classifier(recipe.student, len(contract.labels), contract.height, seed=recipe.seed)
    training = Training(
        title=f"Distilling into {recipe.student.model}",
        stage="distill",
        section="student",
        config=recipe.student,
        index=index,
        objective=_objective(asked, teacher, index, context),
        view_of_epoch=lambda epoch: epoch % views,
    )
    records = fit(student, training, context)
    lineage = _lineage(teacher, context.folder, _teachers_top1(asked, teacher, index, context))
    return write_trained(student, model, records, index, context, lineage)


def _objective(classifier: Classifier, teacher: RunFolder, index: ImageIndex, context: StageContext) -> Objective:
    recipe = context.recipe
    weights_sha256 = teacher.manifest["files"][WEIGHTS_FILE]["sha256"]
    answers_VNK = teacher_logits(classifier, index, weights_sha256, context)

    def objective(logits_NK: torch.Tensor, batch: Batch) -> torch.Tensor:
        teacher_NK = torch.from_numpy(answers_VNK[batch.view, batch.positions_N.cpu().numpy()]).to(logits_NK)
        distilled = hinton_kd(logits_NK, teacher_NK, recipe.distill.temperature)
        return with_labels(distilled, logits_NK, batch.labels_N, recipe.distill.hard_weight)

    return objective


def _teachers_top1(classifier: Classifier, teacher: RunFolder, index: ImageIndex, context: StageContext) -> float:
    """The teacher's top-1 on this run's test images: its own figure, or a new one if it was tested on others."""
    tested, ours = ({sample.sha256 for sample in each.split("test")} for each in (read_index(teacher), index))
    if tested == ours:
        return float(teacher.manifest["metrics"][teacher.manifest["kind"]]["test_top1"])
    return evaluate(classifier, index, "test", context, torch.device("cpu")).top1


def _lineage(teacher: RunFolder, student: RunFolder, test_top1: float) -> dict[str, object]:
    nested = teacher.path.parent.resolve() == student.path.resolve()
    return {
        "teacher": {
            "run": teacher.path.name if nested else str(teacher.path.resolve()),
            "model": teacher.manifest["model"]["name"],
            "weights_sha256": teacher.manifest["files"][WEIGHTS_FILE]["sha256"],
            "test_top1": test_top1,
        }
    }
