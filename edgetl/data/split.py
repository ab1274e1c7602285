"""Assign images to splits by their content."""

import hashlib
import math
from collections.abc import Iterable

__all__ = ["assign_splits"]


def assign_splits(sha256s: Iterable[str], *, seed: int, val_fraction: float, test_fraction: float) -> dict[str, str]:
    """Split the images of one class; call it once per class for a stratified split.

    Images are ordered by a hash of the seed and their content. Validation takes its share from the front of that order
    and test from its end. Byte-equal copies therefore share a split, names do not matter, and an added image moves at
    most one image at each of the two borders.

    Args:
        sha256s: Content hashes in hex; copies count once.
        seed: Seeds the order.
        val_fraction: Share of validation, below 0.5; rounded, at least one image; 0 for none.
        test_fraction: Share of test, likewise.

    Returns:
        The split of each hash; train has at least one.

    Raises:
        ValueError: There are fewer distinct images than splits.
    """
    ordered = sorted(set(sha256s), key=lambda sha256: hashlib.sha256(f"{seed}:{sha256}".encode()).digest())
    total = len(ordered)
    splits = 1 + (val_fraction > 0) + (test_fraction > 0)
    if total < splits:
        raise ValueError(f"{total} distinct images for {splits} splits")
    val = _share(total, val_fraction)
    # Two shares near 0.5, both rounded up, would leave no training image.
    test = min(_share(total, test_fraction), total - 1 - val)
    names = ["val"] * val + ["train"] * (total - val - test) + ["test"] * test
    return dict(zip(ordered, names, strict=True))


def _share(total: int, fraction: float) -> int:
    return max(1, math.floor(total * fraction + 0.5)) if fraction > 0 else 0
