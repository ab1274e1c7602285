"""The training loop of fine-tuning and distillation, which differ only in the loss."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from edgetl.data.dataset import Batch
from edgetl.data.index import ImageIndex, Sample
from edgetl.data.loader import Order, training_batches
from edgetl.data.views import Views
from edgetl.errors import ConfigError
from edgetl.recipe.networks import ModelConfig
from edgetl.runs.files import hash_of
from edgetl.runs.stage import StageContext
from edgetl.train.evaluation import evaluate
from edgetl.train.memory import kept_memory
from edgetl.train.schedule import one_cycle
from edgetl.train.state import Progress, TrainingState
from edgetl.train.trainee import Objective, Trainee, side_of_step
from edgetl.zoo.folding import folded_norms

__all__ = ["Record", "Training", "fit", "peak_learning_rate"]

Record = dict[str, float]
"""Figures of one epoch: `epoch`, `loss`, `learning_rate`, and where it was judged `val_top1` and `val_loss`."""


@dataclass(frozen=True)
class Training:
    """What to train on, how long, and with which loss."""

    title: str
    checkpoints: str
    """Name of the checkpoint folder: a stage, or a part of one as 'stage/part'."""

    section: Literal["teacher", "student"]
    """Section of the recipe that it follows, for messages."""

    config: ModelConfig
    index: ImageIndex
    samples: Sequence[Sample]
    """The images to learn from."""

    views: Views
    order: Order
    objective: Objective
    epochs: int
    stored: NDArray[Any] | None = None
    """Pixels of the views `(V, N, H, W, 3)`, if they were stored; or what a frozen part of the network says of them."""

    peak: float | None = None
    """Highest learning rate; None for the recipe's."""

    keep_norms: bool = False
    """Whether batch norms keep their statistics."""

    rates: Mapping[int, float] = field(default_factory=dict)
    """Factor of the learning rate by a parameter's `id`; 1 for all others."""

    is_judged: bool = True
    """Whether the network is scored on the validation split after each epoch."""

    @property
    def takes_pixels(self) -> bool:
        """Whether batches are images, and not activations of a network."""
        return self.stored is None or self.stored.dtype == np.uint8

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole training."""
        return self.epochs * self.order.steps_per_epoch


def fit(classifier: torch.nn.Module, training: Training, context: StageContext) -> list[Record]:
    """Train in place, from the start or from the last checkpoint of the same training.

    A training that is killed and resumed ends with the same weights as one that is not: order, views, dropout, image
    size and learning rate depend on the seed and the step alone.

    Returns:
        One record per epoch.

    Raises:
        ConfigError: The training diverged, or the processes cannot share its batches evenly.
    """
    _check_shares(training, context)
    accelerator = _accelerator()
    side = training.views.contract.height if training.takes_pixels else None
    trainee = Trainee(classifier, training.objective, side).to(accelerator.device)
    peak = peak_learning_rate(training.config, classifier) if training.peak is None else training.peak
    optimizer = _optimizer(trainee, training.config, peak, training.rates)
    state = TrainingState(trainee, optimizer, training.config.average_decay)
    folder = context.folder.checkpoint_dir(training.checkpoints)
    progress = state.restore(folder, _identity(training, context), context.reporter)
    if progress.steps_done:
        context.reporter.say(f"{training.title}: going on after step {progress.steps_done} of {training.total_steps}")
    with context.reporter.track(training.title, training.epochs) as advance, kept_memory(), _folded(trainee, training):
        advance(len(progress.records), _note(progress.records))
        saver = state.saver(folder, _identity(training, context), context)
        for done in _steps(accelerator, state, progress, training, context):
            if done % training.order.steps_per_epoch == 0:
                _end_epoch(state, progress, training, context, accelerator.device)
                advance(1, _note(progress.records))
            saver(progress, last=done == training.total_steps)
    state.finish()
    classifier.eval()
    return progress.records


def peak_learning_rate(config: ModelConfig, network: torch.nn.Module) -> float:
    """The recipe's learning rate; 'auto' depends on the weights and, from scratch, on the network.

    Measured on a MobileNetV2 of half width, from scratch, in equal time (benchmarks/quality.py): over a rate of 0.002,
    0.004 gained 1.5 points of top-1, 0.006 5.0, 0.008 5.2 and 0.016 0.6.
    """
    if config.learning_rate != "auto":
        return config.learning_rate
    if config.weights != "none":
        return 0.0005
    # Batch norm cancels the scale of the filters before it and so allows larger steps (arXiv 1806.02375).
    normalised = any(isinstance(module, torch.nn.modules.batchnorm._BatchNorm) for module in network.modules())
    return 0.006 if normalised else 0.001


def _accelerator() -> Accelerator:
    on_gpu = torch.cuda.is_available()
    return Accelerator(cpu=not on_gpu, mixed_precision="bf16" if on_gpu and torch.cuda.is_bf16_supported() else "no")


def _identity(training: Training, context: StageContext) -> str:
    """Hash of everything that the weights depend on; where and how often they are saved does not count."""
    return hash_of([context.inputs, training.checkpoints, training.epochs, training.order.seed])


def _check_shares(training: Training, context: StageContext) -> None:
    size, count = min(training.order.batch_size, training.order.images), context.processes.count
    if size % count:
        hint = f"Choose a multiple of {count} with --set {training.section}.batch_size=..."
        problem = f"{size} images cannot be shared evenly by {count} processes"
        raise ConfigError(f"{training.section}.batch_size", problem, hint=hint)


def _steps(
    accelerator: Accelerator, state: TrainingState, progress: Progress, training: Training, context: StageContext
) -> Iterator[int]:
    """Take every remaining step, and yield the number of finished steps after each."""
    model, optimizer = accelerator.prepare(state.trainee, state.optimizer)
    share = (context.processes.rank, context.processes.count)
    total = training.total_steps
    batches = training_batches(
        training.index,
        training.samples,
        training.views,
        training.order,
        range(progress.steps_done, total),
        workers=context.recipe.data.workers,
        share=share,
        stored=training.stored,
    )
    side = training.views.contract.height
    for batch in batches:
        step = batch.step
        torch.manual_seed(_dropout_seed(training.order.seed, step, share[0]))
        for group in optimizer.param_groups:
            group["lr"] = group["factor"] * _rate(step, state.optimizer, training)
        if training.takes_pixels:
            state.trainee.side = side_of_step(step, total, side=side, resize_from=training.config.resize_from)
        _enter_training(model, training)
        with context.reporter.library("training steps"):
            progress.losses.append(_step(model, optimizer, accelerator, batch))
            state.average()
        progress.steps_done = step + 1
        yield progress.steps_done


@contextmanager
def _folded(trainee: Trainee, training: Training) -> Iterator[None]:
    """Batch norms that keep their statistics cost nothing."""
    if not training.keep_norms:
        yield
        return
    device = next(trainee.parameters()).device
    if training.takes_pixels:
        side = training.views.contract.height
        example = torch.zeros((1, side, side, 3), dtype=torch.uint8, device=device)
    else:
        assert training.stored is not None
        example = torch.from_numpy(np.array(training.stored[0, :1])).to(device)
    with folded_norms(trainee.classifier, example):
        yield


def _enter_training(model: torch.nn.Module, training: Training) -> None:
    model.train()
    if training.keep_norms:
        for module in model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.eval()


def _step(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, accelerator: Accelerator, batch: Batch
) -> torch.Tensor:
    optimizer.zero_grad()
    loss: torch.Tensor = model(batch.to(accelerator.device))
    accelerator.backward(loss)
    optimizer.step()
    return loss.detach()


def _end_epoch(
    state: TrainingState, progress: Progress, training: Training, context: StageContext, device: torch.device
) -> None:
    losses = context.processes.gather(float(torch.stack(progress.losses).mean()))
    loss, epoch = sum(losses) / len(losses), progress.steps_done // training.order.steps_per_epoch
    _check_finite(loss, state.optimizer, training, epoch)
    record = {"epoch": epoch, "loss": loss, "learning_rate": _rate(progress.steps_done - 1, state.optimizer, training)}
    if training.is_judged:
        with state.averaged():
            score = evaluate(state.trainee.classifier, training.index, "val", context, device)
        record |= {"val_top1": score.top1, "val_loss": score.loss}
    progress.records.append(record)
    progress.losses.clear()


def _rate(step: int, optimizer: torch.optim.Optimizer, training: Training) -> float:
    peak = optimizer.defaults["lr"]
    return one_cycle(step, training.total_steps, peak=peak, warmup_fraction=training.config.warmup_fraction)


def _check_finite(loss: float, optimizer: torch.optim.Optimizer, training: Training, epoch: int) -> None:
    if not math.isfinite(loss):
        rate, peak = f"{training.section}.learning_rate", optimizer.defaults["lr"]
        problem = f"with {peak:g}, the training diverged: the loss of epoch {epoch} is {loss}"
        raise ConfigError(rate, problem, hint=f"Lower it with --set {rate}=...")


def _dropout_seed(seed: int, step: int, rank: int) -> int:
    return int(hash_of(["step", seed, step, rank])[:15], 16)


def _optimizer(
    model: torch.nn.Module, config: ModelConfig, rate: float, factors: Mapping[int, float] | None = None
) -> torch.optim.Optimizer:
    """AdamW with a group for each weight decay and factor of the learning rate."""
    members: defaultdict[tuple[float, float], list[torch.nn.Parameter]] = defaultdict(list)
    for parameter in model.parameters():
        if parameter.requires_grad:
            # Biases and norms have no decay, which only hurts them.
            decay = config.weight_decay if parameter.ndim > 1 else 0.0
            members[decay, (factors or {}).get(id(parameter), 1.0)].append(parameter)
    groups = [
        {"params": parameters, "weight_decay": decay, "factor": factor}
        for (decay, factor), parameters in members.items()
    ]
    return torch.optim.AdamW(groups, lr=rate)


def _note(records: list[Record]) -> str:
    return f"val {records[-1]['val_top1']:.1%}" if records and "val_top1" in records[-1] else ""
