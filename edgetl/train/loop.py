"""The training loop of fine-tuning and distillation, which differ only in the loss."""

import math
from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from accelerate import Accelerator

from edgetl.data.loader import training_batches
from edgetl.errors import ConfigError
from edgetl.runs.files import hash_of
from edgetl.runs.stage import StageContext
from edgetl.train.best import is_stalled
from edgetl.train.epochs import divergence, end_epoch, finish, learning_rate
from edgetl.train.fitting_memory import check_batch, guarded
from edgetl.train.memory import kept_memory
from edgetl.train.optimizer import make_optimizer, peak_learning_rate
from edgetl.train.state import Progress, TrainingState
from edgetl.train.step import Stepper, is_half
from edgetl.train.trainee import Trainee, side_of_step
from edgetl.train.training import Record, Training, check_judged

__all__ = ["Record", "Training", "enter_training", "fit"]


def fit(classifier: torch.nn.Module, training: Training, context: StageContext) -> list[Record]:
    """Train in place, from the start or from the last checkpoint of the same training.

    A training that is killed and resumed ends with the same weights as one that is not: order, views, dropout, image
    size and learning rate depend on the seed, the step and the records alone.

    Which epoch's weights are kept: see `edgetl.train.best`.

    Returns:
        One record per epoch.

    Raises:
        ConfigError: The training diverged, a batch does not fit in memory, the processes cannot share its batches
            evenly, or the recipe wants a validation where there is none.
    """
    training = training.in_whole_steps
    _check_shares(training, context)
    check_judged(training.config, training.section, is_judged=training.is_judged)
    accelerator = _accelerator()
    side = training.views.contract.height if training.takes_pixels else None
    trainee = Trainee(classifier, training.objective, side).to(accelerator.device)
    _check_memory(trainee, training, context, accelerator.device)
    peak = peak_learning_rate(training.config, classifier) if training.peak is None else training.peak
    optimizer = make_optimizer(trainee, training.config, peak, training.rates)
    state = TrainingState(trainee, optimizer, training.config.average_decay)
    folder = context.folder.checkpoint_dir(training.checkpoints)
    progress = state.restore(folder, _identity(training, context), context.reporter)
    if progress.steps_done:
        context.reporter.say(f"{training.title}: going on after step {progress.steps_done} of {training.total_steps}")
    with context.reporter.track(training.title, training.epochs) as advance, kept_memory():
        advance(len(progress.records), _note(progress.records))
        saver = state.saver(folder, _identity(training, context), context)
        for done in _steps(accelerator, state, progress, training, context):
            ended = done % training.order.steps_per_epoch == 0
            if ended:
                end_epoch(state, progress, training, context, accelerator.device)
                advance(1, _note(progress.records))
            stops = ended and is_stalled(progress.records, training.config.patience)
            saver(progress, last=stops or done == training.total_steps)
            if stops:
                break
    finish(state, progress, training, context)
    classifier.eval()
    return progress.records


def _accelerator() -> Accelerator:
    # Precision is set by step, as the library can only be told once in the life of a process.
    return Accelerator(cpu=not torch.cuda.is_available(), mixed_precision="no")


def _identity(training: Training, context: StageContext) -> str:
    """Hash of everything that the weights depend on; where and how often they are saved does not count."""
    return hash_of([context.inputs, training.checkpoints, training.epochs, training.order.seed])


def _check_shares(training: Training, context: StageContext) -> None:
    size, count = min(training.order.batch_size, training.order.images), context.processes.count
    if size % count:
        hint = f"Choose a multiple of {count} with --set {training.section}.batch_size=..."
        problem = f"{size} images cannot be shared evenly by {count} processes"
        raise ConfigError(f"{training.section}.batch_size", problem, hint=hint)


def _check_memory(trainee: Trainee, training: Training, context: StageContext, device: torch.device) -> None:
    side, stored = training.views.contract.height, training.stored
    image = torch.zeros(side, side, 3, dtype=torch.uint8)
    if stored is not None and not training.takes_pixels:
        image = torch.from_numpy(np.zeros(stored.shape[2:], stored.dtype))
    enter_training(trainee, training)
    check_batch(
        trainee.classifier,
        image.to(device),
        training.config,
        images=min(training.config.batch, training.order.images),
        section=training.section,
        processes=context.processes,
        half=is_half(training.config, training.section, device),
    )


def _steps(
    accelerator: Accelerator, state: TrainingState, progress: Progress, training: Training, context: StageContext
) -> Iterator[int]:
    """Take every remaining step, and yield the number of finished steps after each."""
    config, processes = training.config, context.processes
    model, optimizer = accelerator.prepare(state.trainee, state.optimizer)
    half = is_half(config, training.section, accelerator.device)
    part = -(-config.batch // processes.count)
    stepper = Stepper(model, optimizer, accelerator, config, part=part, half=half)
    batches = training_batches(
        training.index,
        training.samples,
        training.views,
        training.order,
        range(progress.steps_done, training.total_steps),
        workers=context.recipe.data.workers,
        share=(processes.rank, processes.count),
        stored=training.stored,
    )
    side = training.views.contract.height
    for batch in batches:
        step = batch.step
        torch.manual_seed(_dropout_seed(training.order.seed, step, processes.rank))
        for group in optimizer.param_groups:
            group["lr"] = group["factor"] * learning_rate(step, state.optimizer, progress, training)
        if training.takes_pixels:
            total, resize_from = training.total_steps, config.resize_from
            state.trainee.side = side_of_step(step, total, side=side, resize_from=resize_from)
        enter_training(model, training)
        with context.reporter.library("training steps"):
            loss = guarded(
                partial(stepper.step, batch),
                partial(stepper.attempt, batch),
                config,
                images=min(config.batch, training.order.images),
                section=training.section,
                processes=processes,
            )
            progress.losses.append(loss)
            state.average()
        progress.steps_done = step + 1
        # On a GPU, or in one process of several, it would have to be waited for.
        if accelerator.device.type == "cpu" and processes.count == 1 and not math.isfinite(float(loss)):
            raise divergence(state, progress, training, context)
        yield progress.steps_done


def enter_training(model: torch.nn.Module, training: Training) -> None:
    """Put a network in training mode, all but the batch norms that keep their statistics."""
    model.train()
    if training.keep_norms:
        for module in model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.eval()


def _dropout_seed(seed: int, step: int, rank: int) -> int:
    return int(hash_of(["step", seed, step, rank])[:15], 16)


def _note(records: list[Record]) -> str:
    return f"val {records[-1]['val_top1']:.1%}" if records and "val_top1" in records[-1] else ""
