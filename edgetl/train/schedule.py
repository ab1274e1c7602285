"""The learning rate as a pure function of the step, so that a resumed training needs no scheduler state."""

import math

__all__ = ["one_cycle"]


def one_cycle(step: int, total_steps: int, *, peak: float, warmup_fraction: float) -> float:
    """Learning rate of a step: a cosine rise to the peak, then a cosine fall to nearly zero.

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


def _cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2
