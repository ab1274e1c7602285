"""The learning rate as a pure function of the step and of past losses, so that no scheduler state has to be resumed."""

import math
from collections.abc import Sequence

from edgetl.recipe.networks import ModelConfig

__all__ = ["STALLED_EPOCHS", "cosine", "one_cycle", "plateaus", "rate_of_step", "warm_up"]

STALLED_EPOCHS = 3
"""Epochs without a lower validation loss after which `plateau` divides the rate."""

_DIVISOR = 10
"""He et al., arXiv 1512.03385: 'the learning rate is divided by 10 when the error plateaus'."""

_LOWER = 1 - 1e-4
"""A loss is lower if it is below this part of the lowest before, as in PyTorch's ReduceLROnPlateau."""


def rate_of_step(
    config: ModelConfig, step: int, total_steps: int, *, peak: float, val_losses: Sequence[float] = ()
) -> float:
    """Learning rate of a step by the recipe's schedule.

    Args:
        config: The schedule, and the part of the steps in which the rate rises.
        step: From 0 to `total_steps` - 1.
        total_steps: Optimizer steps of the whole training.
        peak: Highest learning rate.
        val_losses: Of the finished epochs, in order; only `plateau` reads them.
    """
    warm = config.warmup_fraction
    if config.schedule == "one-cycle":
        return one_cycle(step, total_steps, peak=peak, warmup_fraction=warm)
    if config.schedule == "cosine":
        return cosine(step, total_steps, peak=peak, warmup_fraction=warm)
    risen = warm_up(step, total_steps, peak=peak, warmup_fraction=warm)
    return risen if config.schedule == "constant" else risen / _DIVISOR ** plateaus(val_losses)


def one_cycle(step: int, total_steps: int, *, peak: float, warmup_fraction: float) -> float:
    """A cosine rise to the peak, then a cosine fall to nearly zero.

    Smith and Topin, 'Super-Convergence', arXiv 1708.07120, in the two-phase form of fast.ai: it starts at peak / 25 and
    ends at peak / 250,000.

    Args:
        step: From 0 to `total_steps` - 1.
        total_steps: Optimizer steps of the whole training.
        peak: Highest learning rate.
        warmup_fraction: Fraction of the steps in which it rises.
    """
    turn = warmup_fraction * (total_steps - 1)
    if step <= turn:
        return _cosine(peak / 25, peak, step / turn if turn else 1.0)
    return _cosine(peak, peak / 250_000, (step - turn) / (total_steps - 1 - turn))


def cosine(step: int, total_steps: int, *, peak: float, warmup_fraction: float) -> float:
    """A linear rise, then half a cosine that would reach zero one step after the last (arXiv 1608.03983)."""
    turn = warmup_fraction * total_steps
    if step < turn:
        return warm_up(step, total_steps, peak=peak, warmup_fraction=warmup_fraction)
    return _cosine(peak, 0.0, (step - turn) / (total_steps - turn))


def warm_up(step: int, total_steps: int, *, peak: float, warmup_fraction: float) -> float:
    """A linear rise (Goyal et al., arXiv 1706.02677), then the peak."""
    return peak * min(1.0, (step + 1) / max(1.0, warmup_fraction * total_steps))


def plateaus(val_losses: Sequence[float]) -> int:
    """How often the validation loss has stalled: for three epochs since it was lowest, or since it stalled before."""
    lowest, stalled, found = math.inf, 0, 0
    for loss in val_losses:
        is_lower = loss < lowest * _LOWER
        lowest, stalled = (loss, 0) if is_lower else (lowest, stalled + 1)
        if stalled == STALLED_EPOCHS:
            found, stalled = found + 1, 0
    return found


def _cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2
