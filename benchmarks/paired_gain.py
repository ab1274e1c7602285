"""How much more is right, with an interval over the test images and the seeds."""

import numpy as np

__all__ = ["Gain", "gain"]

_RESAMPLES = 10_000

Gain = dict[str, float]
"""In points: `points` is the mean difference; `low` and `high` are its interval."""


def gain(own: list[str], other: list[str]) -> Gain:
    """Compare two contestants that answered the same images.

    The interval is a 95 % bootstrap that draws seeds and images, each with replacement: another choice of training
    images and another test would both have changed the difference.

    Args:
        own: Per seed, a `1` for each test image that is right and a `0` for the others.
        other: The same of the other contestant.
    """
    difference_SN = np.array([_right(a) - _right(b) for a, b in zip(own, other, strict=True)])
    seeds, images = difference_SN.shape
    rng = np.random.default_rng(0)
    means = [
        difference_SN[rng.integers(0, seeds, seeds)][:, rng.integers(0, images, images)].mean()
        for _ in range(_RESAMPLES)
    ]
    low, high = np.percentile(means, [2.5, 97.5])
    points = {"points": difference_SN.mean(), "low": low, "high": high}
    return {name: round(100 * float(value), 2) for name, value in points.items()}


def _right(text: str) -> np.ndarray:
    return np.array([int(each) for each in text], np.int8)
