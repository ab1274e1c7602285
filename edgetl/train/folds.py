"""Divide images into folds: each is judged once by what learned from the others."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Fold", "folds_of"]

Fold = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Positions of the images to learn from, and of those to judge by; both sorted."""


def folds_of(labels_N: Sequence[int], count: int, *, seed: int) -> list[Fold]:
    """Divide images into folds of nearly equal size, each class evenly.

    Args:
        labels_N: The class of each image.
        count: Number of folds; at least 2.
        seed: Seeds the division.

    Raises:
        ValueError: There are fewer images than folds.
    """
    labels = np.asarray(labels_N)
    if len(labels) < count:
        raise ValueError(f"{len(labels)} images for {count} folds")
    order_N = np.random.default_rng(seed).permutation(len(labels))
    by_class_N = order_N[np.argsort(labels[order_N], kind="stable")]
    # Dealt like cards over all classes, so that small classes do not all miss the same folds.
    fold_N = np.empty(len(labels), np.int64)
    fold_N[by_class_N] = np.arange(len(labels)) % count
    return [(np.flatnonzero(fold_N != fold), np.flatnonzero(fold_N == fold)) for fold in range(count)]
