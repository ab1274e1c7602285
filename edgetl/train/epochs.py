"""The end of an epoch and of a training: figures, the weights that are kept, and what happens if it diverged."""

import math

import torch

from edgetl.errors import ConfigError
from edgetl.runs.stage import StageContext
from edgetl.train.divergence import are_finite, diverged, first_bad
from edgetl.train.evaluation import evaluate
from edgetl.train.schedule import rate_of_step
from edgetl.train.state import Progress, TrainingState
from edgetl.train.training import Record, Training

__all__ = ["divergence", "end_epoch", "finish", "learning_rate"]


def end_epoch(
    state: TrainingState, progress: Progress, training: Training, context: StageContext, device: torch.device
) -> None:
    """Judge the network, keep its weights if they are the best so far, and add the epoch's record.

    Raises:
        ConfigError: The training diverged.
    """
    own = float(torch.stack(progress.losses).mean()), are_finite(state.trainee.state_dict().values())
    losses, finite = zip(*context.processes.gather(own), strict=True)
    loss, epoch = sum(losses) / len(losses), progress.steps_done // training.order.steps_per_epoch
    if not (math.isfinite(loss) and all(finite)):
        raise divergence(state, progress, training, context)
    rate = learning_rate(progress.steps_done - 1, state.optimizer, progress, training)
    record: Record = {"epoch": epoch, "loss": loss, "learning_rate": rate}
    score = None
    with state.averaged():
        if training.is_judged:
            score = evaluate(state.trainee.classifier, training.index, "val", context, device)
            record |= {"val_top1": score.top1, "val_loss": score.loss}
        state.best.offer(epoch, score)
    progress.records.append(record)
    progress.losses.clear()


def finish(state: TrainingState, progress: Progress, training: Training, context: StageContext) -> None:
    """Give the classifier the weights that are kept, and note in the records whose they are.

    Raises:
        ConfigError: No epoch had a loss on the validation images that is a number.
    """
    records, best = progress.records, state.best
    stopped = len(records) < training.epochs
    if not best.epoch:
        raise divergence(state, progress, training, context)
    state.finish()
    earlier = best.wins(len(records), stopped=stopped)
    if earlier:
        best.put_back()
    kept = records[(best.epoch if earlier else len(records)) - 1]
    kept["kept"] = True
    if stopped:
        problem = f"none of the last {training.config.patience} was better than those before"
        context.reporter.say(
            f"{training.title}: stopped after epoch {len(records)} of {training.epochs}, as {problem}."
        )
    if earlier:
        why = "the best" if stopped else "which are better than the last one's by more than luck"
        context.reporter.say(f"{training.title}: the weights of epoch {best.epoch} are kept, {why}.")


def learning_rate(step: int, optimizer: torch.optim.Optimizer, progress: Progress, training: Training) -> float:
    """Learning rate of a step, counted over all epochs."""
    val_losses = [record["val_loss"] for record in progress.records if "val_loss" in record]
    peak = optimizer.defaults["lr"]
    return rate_of_step(training.config, step, training.total_steps, peak=peak, val_losses=val_losses)


def divergence(state: TrainingState, progress: Progress, training: Training, context: StageContext) -> ConfigError:
    """The error to raise where a loss or a weight is no number; the last good weights are on disk then."""
    bad = [each for each in context.processes.gather(first_bad(progress.losses)) if each is not None]
    per_epoch = training.order.steps_per_epoch
    epochs_done = (progress.steps_done - 1) // per_epoch
    step = epochs_done * per_epoch + min(bad) + 1 if bad else progress.steps_done
    what = f"step {step} left weights that are no numbers"
    if bad:
        what = f"the loss of step {step} is {float(progress.losses[min(bad)])}"
    rate = learning_rate(step - 1, state.optimizer, progress, training)
    return diverged(
        f"{what}, in epoch {epochs_done + 1} of {training.epochs}, at a rate of {rate:.3g}",
        state.best,
        training.whole or state.trainee.classifier,
        context.folder.path if context.processes.first else None,
        section=training.section,
        peak=state.optimizer.defaults["lr"],
        clips=training.config.clip_norm > 0,
    )
