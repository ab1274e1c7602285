"""How good an integer file is: run in its own runtime over validation images, against the trained network."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgetl.devices.base import Device
from edgetl.devices.measuring import median_ms, predict, time_model
from edgetl.runs.files import shipped_bytes
from edgetl.runs.verdict import Limits, Verdict

__all__ = ["HeldOut", "Judge", "Judgement", "Score", "score"]

_CONFIDENCE = 0.95
_TIMED_IMAGES = 8
_TELLING = 5
"""Images that the bound on the drop has to be worth; on fewer, chance alone would keep any file out of it."""


@dataclass(frozen=True)
class Score:
    """How answers differ from the float network's on images whose classes are known; all as fractions of 1."""

    top1: float
    drop: float
    """Top-1 of the float network minus this one's."""

    drop_error: float
    """Its standard error, from the images that only one of the two has right (McNemar)."""

    flips: float
    """Images whose best class is another one."""

    flips_low: float
    flips_high: float
    """95 % interval (Wilson) of the flips among all such images."""

    images: int

    def excess(self, limits: Limits) -> float:
        """By how much the drop and the flips are out of the limits, together; 0 if both are inside.

        A drop that happens to be small on these images may not be on others: one standard error is added to it, unless
        there are so few images that it says nothing. A rung is left behind only without excess; whether a file passes
        is `verdict`.
        """
        margin = self.drop_error if self.images * limits.max_drop >= _TELLING else 0.0
        return limits.excess(self.drop, self.flips, margin=margin)

    def verdict(self, limits: Limits) -> Verdict:
        """Whether the drop and the flips are inside the limits on these images."""
        return Verdict.of(limits.failures(self.drop, self.flips))


@dataclass(frozen=True)
class Judgement:
    """What was measured of a file."""

    score: Score
    p50_ms: float
    """Median time of one inference."""

    size_bytes: int

    def to_dict(self) -> dict[str, float]:
        """As plain data, all on one level."""
        return {**asdict(self.score), "p50_ms": self.p50_ms, "size_bytes": self.size_bytes}


def score(answers_NK: NDArray[np.float32], reference_NK: NDArray[np.float32], labels_N: NDArray[np.int64]) -> Score:
    """Compare probabilities with those of the float network.

    Args:
        answers_NK: What is judged.
        reference_NK: The float network's.
        labels_N: True classes.
    """
    from scipy.stats import binomtest

    best_N = np.where(np.isfinite(answers_NK).all(axis=1), answers_NK.argmax(axis=1), -1)
    flipped_N = best_N != reference_NK.argmax(axis=1)
    interval = binomtest(int(flipped_N.sum()), len(labels_N)).proportion_ci(_CONFIDENCE, method="wilson")
    right_N, was_right_N = best_N == labels_N, reference_NK.argmax(axis=1) == labels_N
    change_N = was_right_N.astype(float) - right_N
    return Score(
        top1=float(right_N.mean()),
        drop=float(change_N.mean()),
        drop_error=float(change_N.std() / np.sqrt(len(labels_N))),
        flips=float(flipped_N.mean()),
        flips_low=float(interval.low),
        flips_high=float(interval.high),
        images=len(labels_N),
    )


@dataclass(frozen=True)
class HeldOut:
    """Images in memory that nothing is made from, and what is known of them."""

    images_NHWC: NDArray[np.uint8]
    labels_N: NDArray[np.int64]
    reference_NK: NDArray[np.float32]
    """The trained network's probabilities."""

    def score(self, answers_NK: NDArray[np.float32]) -> Score:
        """Compare a network's answers."""
        return score(answers_NK, self.reference_NK, self.labels_N)


class Judge:
    """Judges files by the same images.

    Args:
        files: Validation images.
        labels_N: Their classes.
        reference_NK: The trained network's probabilities.
        device: Where files are run.
        threads: Of one inference.
    """

    def __init__(
        self,
        files: list[Path],
        labels_N: NDArray[np.int64],
        reference_NK: NDArray[np.float32],
        device: Device,
        threads: int,
    ) -> None:
        self._files, self._labels_N, self._reference_NK = files, labels_N, reference_NK
        self._device, self._threads = device, threads

    @property
    def images(self) -> int:
        """How many there are."""
        return len(self._files)

    @property
    def reference_top1(self) -> float:
        """Of the trained network, as a fraction of 1."""
        return score(self._reference_NK, self._reference_NK, self._labels_N).top1

    def judge(self, file: Path) -> Judgement:
        """Run and time a file, in processes of its own.

        Raises:
            RunnerFailed: Its runtime does not open or run it.
        """
        answers_NK, _ = predict(self._device, file, self._files, threads=self._threads)
        times = time_model(self._device, file, self._files[:_TIMED_IMAGES], threads=self._threads)
        found = score(answers_NK, self._reference_NK, self._labels_N)
        return Judgement(found, median_ms(times), shipped_bytes(file))
