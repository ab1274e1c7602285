"""Whether one classifier is better than another by more than luck, on images that neither has learned from."""

from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["enough_errors", "errors_of_best", "is_better"]

_STANDARD_ERRORS = 1.645
"""Of a one-sided test at 5 %."""

_LEAST_ERRORS = 8
"""With fewer mistakes left there is little to win, and less that could be told from luck."""


def is_better(
    candidate_N: NDArray[Any], champion_N: NDArray[Any], *, standard_errors: float = _STANDARD_ERRORS
) -> bool:
    """Whether a candidate is right more often, beyond chance.

    The sign test on the images that only one of them gets right (McNemar, 1947), with the normal approximation; of
    shares, the differences count with their size.

    Args:
        candidate_N: Whether the candidate is right, per image; or about which share of its views, as a fraction of 1.
        champion_N: The same of what it would replace.
        standard_errors: By how many the difference has to exceed chance.
    """
    difference_N = candidate_N.astype(np.float64) - champion_N
    return bool(difference_N.sum() > standard_errors * np.sqrt(np.square(difference_N).sum()))


def errors_of_best(count: int) -> float:
    """Standard errors by which the best of several candidates has to win: 1.6 for one, 2.8 for 20, 3.6 for 300.

    Of many candidates that are no better, one wins by luck. If the level of 5 % is divided by their number, the best of
    them does so in at most 5 % of all cases, however much they have in common (Bonferroni; Dunn, 1961).
    """
    return NormalDist().inv_cdf(1 - 0.05 / count)


def enough_errors(champion_N: NDArray[np.bool_]) -> bool:
    """Whether a champion leaves enough mistakes that something better could be recognised."""
    return int((~champion_N).sum()) >= _LEAST_ERRORS
