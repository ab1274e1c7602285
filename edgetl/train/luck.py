"""Whether one classifier is better than another by more than luck, on images that neither has learned from."""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

__all__ = ["enough_errors", "errors_of_best", "is_better"]

_STANDARD_ERRORS = 1.645
"""Of a one-sided test at 5 %."""

_LEAST_ERRORS = 8
"""With fewer mistakes left there is little to win, and less that could be told from luck."""


def is_better(
    candidate_N: NDArray[np.bool_], champion_N: NDArray[np.bool_], *, standard_errors: float = _STANDARD_ERRORS
) -> bool:
    """Whether a candidate is right more often, beyond chance.

    The sign test on the images that only one of them gets right (McNemar, 1947), with the normal approximation.

    Args:
        candidate_N: Whether the candidate is right, per image.
        champion_N: The same of what it would replace.
        standard_errors: By how many the difference has to exceed chance.
    """
    wins, losses = int((candidate_N & ~champion_N).sum()), int((~candidate_N & champion_N).sum())
    return wins - losses > standard_errors * math.sqrt(wins + losses)


def errors_of_best(count: int) -> float:
    """Standard errors by which the best of several candidates has to win: 1.6 for one, 2.8 for 20, 3.6 for 300.

    Of many candidates that are no better, one wins by luck. If the level of 5 % is divided by their number, the best of
    them does so in at most 5 % of all cases, however much they have in common (Bonferroni; Dunn, 1961).
    """
    return NormalDist().inv_cdf(1 - 0.05 / count)


def enough_errors(champion_N: NDArray[np.bool_]) -> bool:
    """Whether a champion leaves enough mistakes that something better could be recognised."""
    return int((~champion_N).sum()) >= _LEAST_ERRORS
