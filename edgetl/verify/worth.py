"""Whether the trained network is any good, as far as the test images can tell.

That the files give its answers is another question. It is compared with what costs nothing: always naming the same
class, and a linear classifier of the pretrained features that it started from.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetl.distill.paired import paired_gain
from edgetl.runs.intervals import wilson
from edgetl.runs.words import counted
from edgetl.train.balance import Balance
from edgetl.verify.schema import Word

__all__ = ["Judged", "Worth", "worth_of"]

_FEW_IMAGES, _FEW_OF_A_CLASS = 100, 5
"""Test images, and those of a class, under which nothing much can be said."""

_SHUFFLES, _LIKELY = 999, 0.01


@dataclass(frozen=True)
class Judged:
    """The images that judge, and what is known of them."""

    labels_N: NDArray[np.int64]
    names: tuple[str, ...]
    """Of the classes."""

    answers_N: NDArray[np.int64]
    """The class that the network names."""

    probe_right_N: NDArray[np.bool_] | None
    """Whether the linear probe of its pretrained features is right; None if there is none."""

    trained_on: tuple[int, ...]
    """Training images of each class."""

    validated_on: tuple[int, ...]
    """Validation images of each class."""

    is_probe: bool = False
    """Whether the network is that probe."""


@dataclass(frozen=True)
class Worth:
    """What the test images say of the trained network; all shares are fractions of 1."""

    images: int
    top1: float
    low: float
    """Lower end of the 95 % interval (Wilson)."""

    high: float
    """Upper end of the 95 % interval (Wilson)."""

    commonest: str
    """The class that most test images are of."""

    commonest_top1: float
    """What naming it every time is right about."""

    balanced_top1: float | None
    """Mean recall of the classes, where these are uneven."""

    tells_apart: bool
    """Whether that is more than luck."""

    probe_top1: float | None
    """What logistic regression on the pretrained features is right about."""

    gain_on_probe: tuple[float, float, float] | None
    """Points by which the network beats the probe, and their 95 % interval; None where it is the probe."""

    warnings: tuple[str, ...]
    """What the test images are too few for."""

    @property
    def word(self) -> Word:
        """The judgement."""
        if self.gain_on_probe and self.gain_on_probe[2] < 0:
            return "WORSE THAN A LINEAR PROBE"
        if self.low > self.commonest_top1 or self.tells_apart:
            return "BETTER THAN GUESSING"
        return "CANNOT TELL" if self.images < _FEW_IMAGES else "NO BETTER THAN GUESSING"

    @property
    def sentence(self) -> str:
        """The numbers that it rests on."""
        right = f"Right about {self.top1:.1%} of {counted(self.images, 'test image')} ({_range(self.low, self.high)})"
        parts = [right, f"always naming {self.commonest!r}: {self.commonest_top1:.1%}"]
        if self.balanced_top1 is not None:
            parts.append(f"mean recall of its uneven classes: {self.balanced_top1:.1%}")
        if self.probe_top1 is not None and not self.gain_on_probe:
            parts.append("it is a linear head on pretrained features itself")
        elif self.gain_on_probe:
            points, low, high = self.gain_on_probe
            probe = f"logistic regression on its pretrained features: {self.probe_top1:.1%}"
            parts.append(f"{probe}, a difference of {points:+.1f} points ({low:+.1f} to {high:+.1f})")
        return f"{'; '.join(parts)}."

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self) | {"word": self.word, "sentence": self.sentence}


def worth_of(images: Judged) -> Worth:
    """Judge a network by its answers to the test images."""
    right_N, count = images.answers_N == images.labels_N, len(images.labels_N)
    low, high = wilson(int(right_N.sum()), count)
    counts = np.bincount(images.labels_N, minlength=len(images.names))
    uneven = Balance("none", images.trained_on).is_uneven
    probe_N = images.probe_right_N
    is_other = probe_N is not None and not images.is_probe and count > 1
    gain = paired_gain(right_N[None], probe_N[None]) if is_other and probe_N is not None else None
    return Worth(
        images=count,
        top1=float(right_N.mean()),
        low=low,
        high=high,
        commonest=images.names[int(counts.argmax())],
        commonest_top1=float(counts.max() / count),
        balanced_top1=_mean_recall(images.answers_N, images.labels_N) if uneven else None,
        tells_apart=uneven and _tells_apart(images),
        probe_top1=None if probe_N is None else float(probe_N.mean()),
        gain_on_probe=(gain.points, gain.low, gain.high) if gain else None,
        warnings=tuple(_warnings(images, counts, (low, high))),
    )


def _warnings(images: Judged, counts: NDArray[np.int64], interval: tuple[float, float]) -> list[str]:
    found, total = [], len(images.labels_N)
    if total < _FEW_IMAGES:
        found.append(
            f"{counted(total, 'test image')} cannot tell much: of all such images it may be right about"
            f" {_range(*interval)}. Keep at least {_FEW_IMAGES}."
        )
    if few := [name for name, count in zip(images.names, counts, strict=True) if count < _FEW_OF_A_CLASS]:
        found.append(f"Fewer than {_FEW_OF_A_CLASS} test images: {_listed(few)}. Nothing can be said of them.")
    if lacking := [name for name, count in zip(images.names, images.validated_on, strict=True) if not count]:
        found.append(f"No validation image: {_listed(lacking)}. No choice considered them.")
    return found


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{'class' if len(names) == 1 else 'classes'} {names[0]!r}{more}"


def _range(low: float, high: float) -> str:
    return f"{100 * low:.1f} to {high:.1%}"


def _mean_recall(answers_N: NDArray[np.int64], labels_N: NDArray[np.int64]) -> float:
    right_N = answers_N == labels_N
    return float(np.mean([right_N[labels_N == label].mean() for label in np.unique(labels_N)]))


def _tells_apart(images: Judged) -> bool:
    """Whether the mean recall is more than the same answers would have, were they given to other images.

    A permutation test (Ojala and Garriga, 'Permutation Tests for Studying Classifier Performance', JMLR 2010): always
    naming one class, or naming rare ones at random, passes for nothing.
    """
    reached = _mean_recall(images.answers_N, images.labels_N)
    random = np.random.default_rng(0)
    shuffled = (_mean_recall(random.permutation(images.answers_N), images.labels_N) for _ in range(_SHUFFLES))
    as_good = sum(each >= reached for each in shuffled)
    return (as_good + 1) / (_SHUFFLES + 1) <= _LIKELY
