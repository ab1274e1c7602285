"""Train the student on the teacher's answers to the very pixels that it sees."""

import torch

from edgetl.artifact import RunFolder
from edgetl.data.index import read_index
from edgetl.data.loader import Batch
from edgetl.distill.losses import hinton_kd, with_labels
from edgetl.distill.teacher import teacher_logits
from edgetl.errors import RunFolderError
from edgetl.stage import StageContext, StageResult
from edgetl.train.loop import Objective, Training, fit
from edgetl.train.trained import write_trained
from edgetl.zoo.build import WEIGHTS_FILE, build_classifier, load_classifier

__all__ = ["run"]


def run(context: StageContext) -> StageResult:
    """Distill `context.teacher` into `recipe.student`; writes `model.safetensors` and `metrics.jsonl`."""
    recipe, contract, teacher = context.recipe, context.contract, context.teacher
    if teacher is None:
        raise RunFolderError(f"{context.folder.path}: distillation needs a teacher's run folder (--teacher)")
    index = read_index(context.folder)
    views = min(recipe.distill.teacher_views, recipe.student.epochs)
    with context.reporter.library("building the model"):
        student, model = build_classifier(recipe.student, len(contract.labels), contract.height, seed=recipe.seed)
    training = Training(
        title=f"Distilling into {recipe.student.model}",
        stage="distill",
        config=recipe.student,
        index=index,
        objective=_objective(teacher, context),
        view_of_epoch=lambda epoch: epoch % views,
    )
    records = fit(student, training, context)
    return write_trained(student, model, records, index, context, _lineage(teacher, context.folder))


def _objective(teacher: RunFolder, context: StageContext) -> Objective:
    recipe = context.recipe
    with context.reporter.library("building the model"):
        classifier = load_classifier(teacher)
    weights_sha256 = teacher.manifest["files"][WEIGHTS_FILE]["sha256"]
    answers_VNK = teacher_logits(classifier, read_index(context.folder), weights_sha256, context)

    def objective(logits_NK: torch.Tensor, batch: Batch) -> torch.Tensor:
        teacher_NK = torch.from_numpy(answers_VNK[batch.view, batch.positions_N.cpu().numpy()]).to(logits_NK)
        distilled = hinton_kd(logits_NK, teacher_NK, recipe.distill.temperature)
        return with_labels(distilled, logits_NK, batch.labels_N, recipe.distill.hard_weight)

    return objective


def _lineage(teacher: RunFolder, student: RunFolder) -> dict[str, object]:
    nested = teacher.path.parent.resolve() == student.path.resolve()
    metrics = teacher.manifest["metrics"]
    return {
        "teacher": {
            "run": teacher.path.name if nested else str(teacher.path.resolve()),
            "model": teacher.manifest["model"]["name"],
            "weights_sha256": teacher.manifest["files"][WEIGHTS_FILE]["sha256"],
            "test_top1": metrics.get(teacher.manifest["kind"], {}).get("test_top1"),
        }
    }
