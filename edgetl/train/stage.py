"""Fine-tune one network on true labels: how a teacher is made."""

import torch
from torch.nn.functional import cross_entropy

from edgetl.data.index import read_index
from edgetl.data.loader import Batch
from edgetl.stage import StageContext, StageResult
from edgetl.train.loop import Training, fit
from edgetl.train.trained import write_trained
from edgetl.zoo.build import build_classifier

__all__ = ["run"]


def run(context: StageContext) -> StageResult:
    """Train `recipe.teacher` on the run's data; writes `model.safetensors` and `metrics.jsonl`."""
    recipe, contract = context.recipe, context.contract
    index = read_index(context.folder)
    with context.reporter.library("building the model"):
        classifier, model = build_classifier(recipe.teacher, len(contract.labels), contract.height, seed=recipe.seed)

    def objective(logits_NK: torch.Tensor, batch: Batch) -> torch.Tensor:
        return cross_entropy(logits_NK, batch.labels_N, label_smoothing=recipe.teacher.label_smoothing)

    training = Training(
        title=f"Fine-tuning {recipe.teacher.model}",
        stage="finetune",
        section="teacher",
        config=recipe.teacher,
        index=index,
        objective=objective,
        view_of_epoch=lambda epoch: epoch,
    )
    records = fit(classifier, training, context)
    return write_trained(classifier, model, records, index, context)
