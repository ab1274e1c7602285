"""Fine-tune one network on true labels: how a teacher is made."""

import torch

from edgetl.data.dataset import Batch, ViewDataset
from edgetl.data.index import read_index
from edgetl.data.loader import Order, worker_count
from edgetl.data.views import Views
from edgetl.runs.stage import StageContext, StageResult
from edgetl.runs.words import duration
from edgetl.train.estimate import decoding_seconds, training_seconds
from edgetl.train.labels import label_loss
from edgetl.train.loop import Training, fit
from edgetl.train.memory import kept_memory
from edgetl.train.trained import write_trained
from edgetl.train.trainee import Objective
from edgetl.zoo.build import build_classifier
from edgetl.zoo.classifier import Classifier

__all__ = ["FromLabels", "run"]


class FromLabels(Objective):
    """Cross-entropy with true labels."""

    def __init__(self, smoothing: float) -> None:
        super().__init__()
        self._smoothing = smoothing

    def forward(self, logits_NK: torch.Tensor, batch: Batch) -> torch.Tensor:
        return label_loss(logits_NK, batch, smoothing=self._smoothing)


def run(context: StageContext) -> StageResult:
    """Train `recipe.teacher` on the run's data; writes `model.safetensors` and `metrics.jsonl`."""
    recipe, contract, config = context.recipe, context.contract, context.recipe.teacher
    index = read_index(context.folder)
    samples = index.split("train")
    with context.reporter.library("building the model"):
        classifier, model = build_classifier(config, len(contract.labels), contract.height, seed=recipe.seed)
    training = Training(
        title=f"Fine-tuning {config.model}",
        checkpoints="finetune",
        section="teacher",
        config=config,
        index=index,
        samples=samples,
        views=Views(contract, recipe.augment, recipe.seed),
        order=Order(len(samples), config.batch_size, recipe.seed),
        objective=FromLabels(config.label_smoothing),
        epochs=config.epochs,
    )
    if context.processes.first:
        _say_what_to_expect(classifier, training, context)
    records = fit(classifier, training, context)
    return write_trained(classifier, model, records, index, context)


def _say_what_to_expect(classifier: Classifier, training: Training, context: StageContext) -> None:
    with context.reporter.library("estimating the time"), kept_memory():
        dataset = ViewDataset(training.index, training.samples, training.views)
        decoding_s = decoding_seconds(dataset, worker_count(training.index, context.recipe.data.workers))
        seconds = training_seconds(
            classifier,
            training.config,
            training.order,
            side=context.contract.height,
            processes=context.processes.count,
            decoding_s=decoding_s,
        )
    context.reporter.say(f"Expected time: {duration(seconds)}.")
