"""The one training loop: fine-tuning and distillation differ only in what they minimise."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from accelerate import Accelerator
from torch import nn

from edgetl.artifact import hash_of
from edgetl.config import ModelConfig
from edgetl.data.index import ImageIndex
from edgetl.data.loader import Batch, training_batches
from edgetl.errors import ConfigError
from edgetl.stage import StageContext
from edgetl.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgetl.train.evaluation import evaluate
from edgetl.train.schedule import one_cycle
from edgetl.zoo.classifier import Classifier

__all__ = ["Objective", "Record", "Training", "fit", "peak_learning_rate"]

Objective = Callable[[torch.Tensor, Batch], torch.Tensor]
"""`objective(logits_NK, batch)` is the mean loss of a batch, a scalar."""

Record = dict[str, float]
"""What is known of one epoch: `epoch`, `loss`, `learning_rate`, `val_top1`, `val_loss`, `seconds`."""

_SECONDS_BETWEEN_CHECKPOINTS = 20.0


@dataclass(frozen=True)
class Training:
    """What to train, on what, towards what."""

    title: str
    stage: str
    section: Literal["teacher", "student"]
    """Where the recipe says how, for messages."""

    config: ModelConfig
    index: ImageIndex
    objective: Objective
    view_of_epoch: Callable[[int], int]
    """Which view of every image an epoch shows."""


def fit(classifier: Classifier, training: Training, context: StageContext) -> list[Record]:
    """Train in place, from the start or from where a killed run of the same inputs left off.

    An interrupted and resumed training ends with the same weights as an uninterrupted one: order, views and dropout
    depend on seed and epoch alone, and the learning rate on the step.

    Returns:
        One record per epoch.

    Raises:
        ConfigError: The training diverged.
    """
    accelerator = Accelerator()
    model, optimizer = accelerator.prepare(classifier, _optimizer(classifier, training.config))
    folder = context.folder.checkpoint_dir(training.stage)
    done = load_checkpoint(folder, context.inputs, classifier, optimizer)
    records = list(done.records) if done else []
    if done:
        context.reporter.say(f"{training.title}: going on after epoch {done.epochs_done}")
    saved_at = time.monotonic()
    with context.reporter.track(training.title, training.config.epochs) as advance:
        advance(len(records), _note(records))
        for record in _epochs(model, optimizer, accelerator, training, context, first=len(records)):
            records.append(record)
            advance(1, _note(records))
            if time.monotonic() - saved_at > _SECONDS_BETWEEN_CHECKPOINTS and len(records) < training.config.epochs:
                save_checkpoint(folder, context.inputs, Checkpoint(len(records), records), classifier, optimizer)
                saved_at = time.monotonic()
    classifier.eval()
    return records


def peak_learning_rate(config: ModelConfig) -> float:
    """The recipe's learning rate, or what 'auto' means for its weights."""
    if config.learning_rate == "auto":
        return 0.002 if config.weights == "none" else 0.0005
    return config.learning_rate


def _epochs(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
    training: Training,
    context: StageContext,
    *,
    first: int,
) -> Iterator[Record]:
    recipe, config = context.recipe, training.config
    batches = training_batches(
        training.index,
        "train",
        context.contract,
        recipe.augment,
        seed=recipe.seed,
        batch_size=config.batch_size,
        epochs=range(first, config.epochs),
        view_of_epoch=training.view_of_epoch,
        workers=recipe.data.workers,
    )
    images = len(training.index.split("train"))
    steps = images // min(config.batch_size, images)
    peak = peak_learning_rate(config)
    losses: list[torch.Tensor] = []
    start = time.perf_counter()
    for batch in batches:
        if not losses:
            _begin_epoch(model, recipe.seed, batch.epoch)
        step = batch.epoch * steps + len(losses)
        rate = one_cycle(step, config.epochs * steps, peak=peak, warmup_fraction=config.warmup_fraction)
        with context.reporter.library("training steps"):
            losses.append(_step(model, optimizer, accelerator, training.objective, batch, rate))
        if batch.last_of_epoch:
            loss = float(torch.stack(losses).mean())
            _check_finite(loss, training, batch.epoch)
            score = evaluate(model, training.index, "val", context, accelerator.device)
            yield {
                "epoch": batch.epoch + 1,
                "loss": loss,
                "learning_rate": rate,
                "val_top1": score.top1,
                "val_loss": score.loss,
                "seconds": round(time.perf_counter() - start, 3),
            }
            losses, start = [], time.perf_counter()


def _check_finite(loss: float, training: Training, epoch: int) -> None:
    if not math.isfinite(loss):
        rate, peak = f"{training.section}.learning_rate", peak_learning_rate(training.config)
        problem = f"with {peak:g}, the training diverged: the loss of epoch {epoch + 1} is {loss}"
        raise ConfigError(rate, problem, hint=f"Lower it with --set {rate}=...")


def _begin_epoch(model: nn.Module, seed: int, epoch: int) -> None:
    model.train()
    torch.manual_seed(int(hash_of(["epoch", seed, epoch])[:15], 16))  # dropout, independent of where we resumed


def _step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
    objective: Objective,
    batch: Batch,
    rate: float,
) -> torch.Tensor:
    for group in optimizer.param_groups:
        group["lr"] = rate
    here = batch.to(accelerator.device)
    optimizer.zero_grad()
    loss = objective(model(here.images_NHWC), here)
    accelerator.backward(loss)
    optimizer.step()
    return loss.detach()


def _optimizer(model: nn.Module, config: ModelConfig) -> torch.optim.Optimizer:
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]  # biases and norms: shrinking them only hurts
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=peak_learning_rate(config))


def _note(records: list[Record]) -> str:
    return f"val {records[-1]['val_top1']:.1%}" if records else ""
