"""Whether one classifier is better than another by more than luck, on images that neither has learned from."""

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["enough_errors", "is_better"]

_Z = 1.645
"""Standard errors of a one-sided test at 5 %."""

_LEAST_ERRORS = 8
"""With fewer mistakes left there is little to win, and less that could be told from luck."""


def is_better(candidate_N: NDArray[np.bool_], champion_N: NDArray[np.bool_]) -> bool:
    """Whether a candidate is right more often, beyond chance.

    The sign test on the images that only one of them gets right (McNemar, 1947), with the normal approximation.

    Args:
        candidate_N: Whether the candidate is right, per image.
        champion_N: The same of what it would replace.
    """
    wins, losses = int((candidate_N & ~champion_N).sum()), int((~candidate_N & champion_N).sum())
    return wins - losses > _Z * math.sqrt(wins + losses)


def enough_errors(champion_N: NDArray[np.bool_]) -> bool:
    """Whether a champion leaves enough mistakes that something better could be recognised."""
    return int((~champion_N).sum()) >= _LEAST_ERRORS
