"""Compare what a model says here with what was recorded elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import RunnerError

__all__ = ["compare", "read_probabilities"]


def read_probabilities(path: Path, images: int, classes: int) -> NDArray[np.floating[Any]]:
    """Read recorded probabilities `(N, K)`.

    Raises:
        RunnerError: The file cannot be read, or holds something else.
    """
    try:
        with path.open("rb") as file:
            recorded: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    except OSError as cause:
        raise RunnerError(f"{path}: cannot be read ({cause.strerror})") from cause
    except (ValueError, EOFError) as cause:
        raise RunnerError(f"{path}: cannot be read as an array of probabilities ({cause})") from cause
    if recorded.dtype.kind != "f" or recorded.shape != (images, classes):
        expected, found = f"floats {(images, classes)}", f"{recorded.dtype} {recorded.shape}"
        raise RunnerError(f"{path}: expected {expected}, one row for each image, found {found}")
    if not np.isfinite(recorded).all():
        raise RunnerError(f"{path}: holds values that are no numbers")
    return recorded


def compare(
    probabilities_NK: NDArray[np.float32],
    recorded_NK: NDArray[np.floating[Any]],
    files: Sequence[Path],
    labels: Sequence[str],
    *,
    max_difference: float,
) -> dict[str, Any]:
    """Compare probabilities of the same images.

    Args:
        probabilities_NK: What the model says here.
        recorded_NK: What it said elsewhere.
        files: The `N` images.
        labels: The `K` classes.
        max_difference: Largest difference of one probability that is allowed, 0 to 1.

    Returns:
        `passed`, `images`, `agreements` (images with the same label), `max_difference` (the largest found; None if an
        output is no number), `allowed_difference`, and `differ`: image, difference and both labels of each image
        outside.
    """
    differences_N = np.abs(probabilities_NK.astype(np.float64) - recorded_NK).max(axis=1)
    here_N, there_N = probabilities_NK.argmax(axis=1), recorded_NK.argmax(axis=1)
    outside = np.flatnonzero(~(differences_N <= max_difference)).tolist()  # what is no number is outside, too
    return {
        "passed": not len(outside),
        "images": len(files),
        "agreements": int((here_N == there_N).sum()),
        "max_difference": _number(differences_N.max()),
        "allowed_difference": max_difference,
        "differ": [
            {
                "image": str(files[row]),
                "difference": _number(differences_N[row]),
                "label": labels[here_N[row]],
                "recorded_label": labels[there_N[row]],
            }
            for row in outside
        ],
    }


def _number(value: np.floating[Any]) -> float | None:
    """JSON has no word for what is no number."""
    return float(value) if np.isfinite(value) else None
