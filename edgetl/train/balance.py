"""Classes of unequal size: rare ones count more, so that a network does not pass them over."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from edgetl.data.index import ImageIndex
from edgetl.recipe.networks import ModelConfig

__all__ = ["EVEN", "Balance", "balance_of", "say_balance"]

_UNEVEN = 3
"""Times the smallest class that the largest may have before 'auto' acts."""


@dataclass(frozen=True)
class Balance:
    """How much each class counts in a training on labels."""

    way: Literal["none", "weights", "sampling"] = "none"
    counts: tuple[int, ...] = ()
    """Training images of each class."""

    @property
    def is_uneven(self) -> bool:
        """Whether the largest class has more than three times the images of the smallest."""
        there = [count for count in self.counts if count]
        return bool(there) and max(there) > _UNEVEN * min(there)

    @property
    def weights(self) -> NDArray[np.float32]:
        """Weights of the classes, `(K,)`: inverse to their images, with a mean of 1 over all training images.

        As scikit-learn's 'balanced'. Weights that grow more slowly with rarity, such as those of the effective number
        of images (Cui et al., arXiv 1901.05555) or of its root, gave a lower mean recall (docs/transfer.md).
        """
        counts_K = np.array(self.counts, np.float64)
        there = counts_K > 0
        weights_K = np.zeros(len(counts_K), np.float32)
        weights_K[there] = counts_K.sum() / (there.sum() * counts_K[there])
        return weights_K

    @property
    def loss_weights(self) -> torch.Tensor | None:
        """Weights of the classes in the loss, `(K,)`; None where all images count alike."""
        return torch.from_numpy(self.weights) if self.way == "weights" else None

    @property
    def true_weights(self) -> torch.Tensor | None:
        """The same where a teacher's answers decide the order of images, so that none can come more often."""
        return None if self.way == "none" else torch.from_numpy(self.weights)

    def weights_of(self, labels_N: NDArray[np.int64]) -> NDArray[np.float32]:
        """Weight of each image where a head is fitted to all at once, which is where sampling would lead, too.

        Args:
            labels_N: The class of each image; -1, which weighs 1, where there is none.
        """
        if self.way == "none":
            return np.ones(len(labels_N), np.float32)
        return np.where(labels_N >= 0, self.weights[labels_N.clip(0)], np.float32(1))

    def drawn(self, labels_N: Sequence[int]) -> tuple[int, ...] | None:
        """The classes of some images if they are to be drawn equally often; else None."""
        return tuple(labels_N) if self.way == "sampling" else None


EVEN = Balance()
"""All images count alike."""


def balance_of(config: ModelConfig, index: ImageIndex) -> Balance:
    """What a recipe means for these images; 'auto' weighs the loss where the classes are uneven."""
    labels_N = [sample.label for sample in index.split("train")]
    counts = tuple(np.bincount(labels_N, minlength=len(index.labels)).tolist())
    if config.balance != "auto":
        return Balance(config.balance, counts)
    return Balance("weights" if Balance("none", counts).is_uneven else "none", counts)


def say_balance(balance: Balance, config: ModelConfig, index: ImageIndex, section: str) -> str:
    """One sentence about what 'auto' does, and how to switch it off; empty if it does nothing."""
    if config.balance != "auto" or balance.way == "none":
        return ""
    by_size = sorted((count, name) for count, name in zip(balance.counts, index.labels, strict=True) if count)
    (least, rare), (most, common) = by_size[0], by_size[-1]
    weights_K = balance.weights
    low, high = weights_K[weights_K > 0].min(), weights_K.max()
    return (
        f"Classes are uneven ({least:,} training images of {rare!r}, {most:,} of {common!r}): an image counts {low:.2g}"
        f" to {high:.2g} times, so that all classes count alike. --set {section}.balance=none switches that off."
    )
