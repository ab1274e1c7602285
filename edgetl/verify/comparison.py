"""What counts as equal to the trained model, as a pure function of two sets of probabilities."""

from dataclasses import dataclass, replace
from math import comb

import numpy as np
from numpy.typing import NDArray

from edgetl.recipe.fields import Precision
from edgetl.runs.artifact import EXACT
from edgetl.runs.intervals import wilson
from edgetl.runs.verdict import TELLING, Limits, Verdict

__all__ = ["Comparison", "Tolerance", "compare", "top1_of"]

_LIKELY = 0.05


@dataclass(frozen=True)
class Tolerance:
    """How much may differ where no loss is intended."""

    max_difference: float
    """Largest allowed difference of any probability, for an artifact in single precision."""

    max_half_difference: float
    """The same for an artifact with weights in half precision."""

    tie_gap: float
    """Images whose two best reference probabilities are closer than this do not count in the agreement."""


@dataclass(frozen=True)
class Comparison:
    """How an artifact's probabilities differ from the reference."""

    top1: float
    """Fraction of images whose best class is the true one."""

    top1_low: float
    top1_high: float
    """95 % interval of `top1` (Wilson)."""

    agreement: float
    """Fraction of images, ties left out, where both have the same best class."""

    ties_left_out: int
    """Number of images that do not count in the agreement."""

    flips: float
    """Fraction of all images whose best class differs from the reference's."""

    max_probability_difference: float
    """Largest over images and classes; a NaN or infinite value counts as 1."""

    mean_probability_difference: float
    """Mean over images and classes."""

    drop: float
    """Top-1 of the reference minus top-1 of the artifact."""

    verdict: Verdict


def compare(
    reference_NK: NDArray[np.float32],
    outputs_NK: NDArray[np.float32],
    labels_N: NDArray[np.int64],
    *,
    precision: Precision,
    tolerance: Tolerance,
    limits: Limits,
) -> Comparison:
    """Compare an artifact with the trained model.

    An artifact in single precision must give the same probabilities and the same best class. So must one with weights
    in half precision, within a wider tolerance, and it must not lose accuracy beyond the limits. All others must not
    lose accuracy beyond the limits. Every artifact must give probabilities, and so must the trained model.

    Args:
        reference_NK: Probabilities of the trained model, at least two classes.
        outputs_NK: What the artifact gave for the same images.
        labels_N: True classes.
        precision: What the artifact computes in.
        tolerance: How much may differ in single and half precision.
        limits: How much accuracy may be lost.
    """
    finite_NK = np.isfinite(outputs_NK) & np.isfinite(reference_NK)
    difference_NK = np.where(finite_NK, np.abs(np.where(finite_NK, outputs_NK - reference_NK, 0)), 1.0)
    # A row with a NaN or infinite value has no best class: it counts as neither correct nor agreeing.
    best_N, trained_N = _best(outputs_NK), _best(reference_NK)
    counts_N = _gaps(reference_NK) >= _tie_gap(precision, tolerance)
    agreed_N = (best_N == trained_N) & (best_N >= 0)
    right_N = best_N == labels_N
    top1, drop = float(right_N.mean()), top1_of(reference_NK, labels_N)
    top1_low, top1_high = wilson(int(right_N.sum()), len(labels_N))
    found = Comparison(
        top1=top1,
        top1_low=top1_low,
        top1_high=top1_high,
        agreement=float(agreed_N[counts_N].mean()) if counts_N.any() else 0.0,
        ties_left_out=int((~counts_N).sum()),
        flips=float((~agreed_N).mean()),
        max_probability_difference=float(difference_NK.max()),
        mean_probability_difference=float(difference_NK.mean()),
        drop=drop - top1,
        verdict=Verdict("PASS"),
    )
    failures = [
        *_reference_failures(reference_NK, counts_N),
        *_range_failures(outputs_NK),
        *_equality_failures(found, precision, tolerance),
    ]
    doubts: list[str] = []
    if precision != EXACT:
        drops = limits.failures(found.drop, flips=0.0)
        if drops and _may_be_luck(trained_N == labels_N, right_N, limits):
            doubts = [f"{each} on {len(labels_N)} images, too few to tell it from luck" for each in drops]
        failures += [*(() if doubts else drops), *limits.failures(drop=0.0, flips=found.flips)]
    return replace(found, verdict=Verdict.of(failures, doubts))


def _may_be_luck(was_right_N: NDArray[np.bool_], right_N: NDArray[np.bool_], limits: Limits) -> bool:
    """Whether a loss beyond the limit shows nothing: the limit is a few images, and gains are about as many as losses.

    The second is the exact test of McNemar (1947) on the images that only one of the two networks has right.
    """
    if len(right_N) * limits.max_drop >= TELLING:
        return False
    lost, gained = int((was_right_N & ~right_N).sum()), int((right_N & ~was_right_N).sum())
    changed = lost + gained
    as_bad = sum(comb(changed, count) for count in range(lost, changed + 1)) / 2**changed
    return bool(as_bad > _LIKELY)


def top1_of(probabilities_NK: NDArray[np.float32], labels_N: NDArray[np.int64]) -> float:
    """Fraction of images whose most probable class is the true one."""
    return float((_best(probabilities_NK) == labels_N).mean())


def _best(probabilities_NK: NDArray[np.float32]) -> NDArray[np.int64]:
    """The most probable class of each image; -1 where a value is NaN or infinite."""
    best_N: NDArray[np.int64] = np.where(np.isfinite(probabilities_NK).all(axis=1), probabilities_NK.argmax(axis=1), -1)
    return best_N


def _gaps(reference_NK: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gap between the two best probabilities of each image; 0 where a value is NaN or infinite."""
    two_best_N2 = np.sort(np.nan_to_num(reference_NK, nan=0.0), axis=1)[:, -2:]
    gaps_N: NDArray[np.float32] = two_best_N2[:, 1] - two_best_N2[:, 0]
    return np.where(np.isfinite(reference_NK).all(axis=1), gaps_N, 0)


def _tie_gap(precision: Precision, tolerance: Tolerance) -> float:
    """Two probabilities may each move by the tolerance, so they may swap places if they are closer than twice that."""
    return max(tolerance.tie_gap, 2 * tolerance.max_half_difference) if precision == "fp16" else tolerance.tie_gap


def _reference_failures(reference_NK: NDArray[np.float32], counts_N: NDArray[np.bool_]) -> list[str]:
    if broken := int((~np.isfinite(reference_NK).all(axis=1)).sum()):
        return [f"the trained network itself gives NaN or infinity on {broken} of {len(reference_NK)} images"]
    if not counts_N.any():
        return [f"nothing is proven: on all {len(counts_N)} images the trained network's two best classes are tied"]
    return []


def _range_failures(outputs_NK: NDArray[np.float32]) -> list[str]:
    finite = outputs_NK[np.isfinite(outputs_NK)]
    broken = outputs_NK.size - finite.size
    failures = [f"{broken} of {outputs_NK.size} outputs are NaN or infinite"] if broken else []
    # An integer artifact's accuracy says nothing about a missing softmax or a wrong scale.
    if finite.size and (finite.min() < -1e-3 or finite.max() > 1 + 1e-3):
        failures.append(f"outputs are not probabilities: they range from {finite.min():.3g} to {finite.max():.3g}")
    return failures


def _equality_failures(found: Comparison, precision: Precision, tolerance: Tolerance) -> list[str]:
    allowed = {EXACT: tolerance.max_difference, "fp16": tolerance.max_half_difference}.get(precision)
    if allowed is None:
        return []
    failures = []
    if found.max_probability_difference > allowed:
        failures.append(f"a probability differs by {found.max_probability_difference:.2g} (allowed: {allowed:.2g})")
    if found.agreement < 1:
        failures.append(f"the best class agrees on {found.agreement:.2%} of the images, expected all")
    return failures
