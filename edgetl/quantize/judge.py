"""Judge a quantized file: run it in its own runtime on validation images, and compare it with the trained network."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgetl.devices.base import Device
from edgetl.devices.measuring import median_ms, predict, time_model
from edgetl.runs.files import shipped_bytes
from edgetl.runs.intervals import wilson
from edgetl.runs.verdict import TELLING, Limits, Verdict

__all__ = ["HeldOut", "Judge", "Judgement", "Score", "score"]

_TIMED_IMAGES = 8


@dataclass(frozen=True)
class Score:
    """Differences from the float network's answers on labelled images; all as fractions of 1."""

    top1: float
    drop: float
    """Top-1 of the float network minus this one's."""

    drop_error: float
    """Standard error of the drop, from the images that only one of the two networks has right (McNemar)."""

    flips: float
    """Images whose best class changes."""

    flips_low: float
    flips_high: float
    """95 % confidence interval of the flips (Wilson)."""

    images: int

    def excess(self, limits: Limits) -> float:
        """By how much the drop and the flips are out of the limits, together; 0 if both are inside.

        A small drop on these images may be luck, so one standard error is added to it, unless there are too few images
        for the error to mean anything. The ladder stops at an excess of 0; whether a file passes is `verdict`.
        """
        margin = self.drop_error if self.images * limits.max_drop >= TELLING else 0.0
        return limits.excess(self.drop, self.flips, margin=margin)

    def verdict(self, limits: Limits) -> Verdict:
        """Whether the drop and the flips are inside the limits on these images."""
        return Verdict.of(limits.failures(self.drop, self.flips))


@dataclass(frozen=True)
class Judgement:
    """Measurements of a file."""

    score: Score
    p50_ms: float
    """Median time of one inference."""

    size_bytes: int

    def to_dict(self) -> dict[str, float]:
        """As plain data, flat."""
        return {**asdict(self.score), "p50_ms": self.p50_ms, "size_bytes": self.size_bytes}


def score(answers_NK: NDArray[np.float32], reference_NK: NDArray[np.float32], labels_N: NDArray[np.int64]) -> Score:
    """Compare probabilities with those of the float network.

    Args:
        answers_NK: The quantized network's.
        reference_NK: The float network's.
        labels_N: True classes.
    """
    best_N = np.where(np.isfinite(answers_NK).all(axis=1), answers_NK.argmax(axis=1), -1)
    flipped_N = best_N != reference_NK.argmax(axis=1)
    flips_low, flips_high = wilson(int(flipped_N.sum()), len(labels_N))
    right_N, was_right_N = best_N == labels_N, reference_NK.argmax(axis=1) == labels_N
    change_N = was_right_N.astype(float) - right_N
    return Score(
        top1=float(right_N.mean()),
        drop=float(change_N.mean()),
        drop_error=float(change_N.std() / np.sqrt(len(labels_N))),
        flips=float(flipped_N.mean()),
        flips_low=flips_low,
        flips_high=flips_high,
        images=len(labels_N),
    )


@dataclass(frozen=True)
class HeldOut:
    """Images in memory that are not used for calibration, with labels and reference answers."""

    images_NHWC: NDArray[np.uint8]
    labels_N: NDArray[np.int64]
    reference_NK: NDArray[np.float32]
    """The trained network's probabilities."""

    def score(self, answers_NK: NDArray[np.float32]) -> Score:
        """Score a network's answers."""
        return score(answers_NK, self.reference_NK, self.labels_N)


class Judge:
    """Judges files on the same images.

    Args:
        files: Validation images.
        labels_N: Their true classes.
        reference_NK: The trained network's probabilities.
        device: Runs the files.
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
        """Number of validation images."""
        return len(self._files)

    @property
    def reference_top1(self) -> float:
        """Top-1 of the trained network, as a fraction of 1."""
        return score(self._reference_NK, self._reference_NK, self._labels_N).top1

    def judge(self, file: Path) -> Judgement:
        """Run and time a file on the device.

        Raises:
            RunnerFailed: The runtime cannot open or run it.
        """
        answers_NK, _ = predict(self._device, file, self._files, threads=self._threads)
        times = time_model(self._device, file, self._files[:_TIMED_IMAGES], threads=self._threads)
        found = score(answers_NK, self._reference_NK, self._labels_N)
        return Judgement(found, median_ms(times), shipped_bytes(file))
