"""What counts as equal to the trained model, as a pure function of two sets of probabilities."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Comparison", "Limits", "compare", "top1_of"]

_ROUNDING = 1e-9
"""Two fractions with the same counts may differ by this much."""


@dataclass(frozen=True)
class Limits:
    """What counts as equal."""

    max_probability_difference: float
    """For a float artifact: largest difference of any probability."""

    tie_gap: float
    """For the agreement: images whose two best reference probabilities are closer than this do not count."""

    max_drop: float
    """For an integer artifact: largest loss of top-1, as a fraction of 1."""


@dataclass(frozen=True)
class Comparison:
    """How an artifact's probabilities differ from the reference."""

    top1: float
    """Fraction of images whose best class is the true one."""

    agreement: float
    """Fraction of images, ties left out, where both have the same best class."""

    ties_left_out: int
    """Images that do not count in the agreement."""

    max_probability_difference: float
    """Largest over images and classes; a value that is no number counts as 1."""

    mean_probability_difference: float
    """Mean over images and classes."""

    drop: float
    """Top-1 of the reference minus top-1 of the artifact."""

    failures: tuple[str, ...]
    """What is not as it must be, with numbers; empty if all is."""


def compare(
    reference_NK: NDArray[np.float32],
    outputs_NK: NDArray[np.float32],
    labels_N: NDArray[np.int64],
    *,
    is_float: bool,
    limits: Limits,
) -> Comparison:
    """Compare an artifact with the trained model.

    A float artifact must give the same probabilities and the same best class; an integer one must not lose accuracy.
    Both must give probabilities at all.

    Args:
        reference_NK: Probabilities of the trained model, at least two classes.
        outputs_NK: What the artifact gave for the same images.
        labels_N: True classes.
        is_float: Whether the artifact computes in single precision.
        limits: What counts as equal.
    """
    finite_NK = np.isfinite(outputs_NK)
    difference_NK = np.where(finite_NK, np.abs(np.where(finite_NK, outputs_NK, 0) - reference_NK), 1.0)
    # A row with a value that is no number has no best class: it is neither right nor agreed with.
    best_N = np.where(finite_NK.all(axis=1), outputs_NK.argmax(axis=1), -1)
    two_best_N2 = np.sort(reference_NK, axis=1)[:, -2:]
    counts_N = two_best_N2[:, 1] - two_best_N2[:, 0] >= limits.tie_gap
    agreed_N = (best_N == reference_NK.argmax(axis=1))[counts_N]
    top1 = float((best_N == labels_N).mean())
    comparison = Comparison(
        top1=top1,
        agreement=float(agreed_N.mean()) if agreed_N.size else 1.0,
        ties_left_out=int((~counts_N).sum()),
        max_probability_difference=float(difference_NK.max()),
        mean_probability_difference=float(difference_NK.mean()),
        drop=top1_of(reference_NK, labels_N) - top1,
        failures=(),
    )
    judged = _float_failures(comparison, limits) if is_float else _integer_failures(comparison, limits)
    return Comparison(**{**asdict(comparison), "failures": (*_range_failures(outputs_NK), *judged)})


def top1_of(probabilities_NK: NDArray[np.float32], labels_N: NDArray[np.int64]) -> float:
    """Fraction of images whose most probable class is the true one."""
    return float((probabilities_NK.argmax(axis=1) == labels_N).mean())


def _range_failures(outputs_NK: NDArray[np.float32]) -> list[str]:
    finite = outputs_NK[np.isfinite(outputs_NK)]
    broken = outputs_NK.size - finite.size
    failures = [f"{broken} of {outputs_NK.size} outputs are NaN or infinite"] if broken else []
    # An integer artifact's accuracy says nothing about a missing softmax or a wrong scale.
    if finite.size and (finite.min() < -1e-3 or finite.max() > 1 + 1e-3):
        failures.append(f"outputs are no probabilities: they go from {finite.min():.3g} to {finite.max():.3g}")
    return failures


def _float_failures(found: Comparison, limits: Limits) -> list[str]:
    failures = []
    if found.max_probability_difference > limits.max_probability_difference:
        failures.append(
            f"a probability differs by {found.max_probability_difference:.2g},"
            f" allowed are {limits.max_probability_difference:.2g}"
        )
    if found.agreement < 1:
        failures.append(f"the best class agrees on {found.agreement:.2%} of the images, expected all")
    return failures


def _integer_failures(found: Comparison, limits: Limits) -> list[str]:
    if found.drop <= limits.max_drop + _ROUNDING:
        return []
    return [f"top-1 drops by {found.drop:.2%} to {found.top1:.2%}, allowed are {limits.max_drop:.2%}"]
