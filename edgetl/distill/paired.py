"""The difference between two ways of training, with an interval over test images and seeds."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Gain", "paired_gain"]

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Gain:
    """What one way of training gains over another, in percentage points of top-1."""

    points: float
    low: float
    """Lower end of the 95 % interval."""

    high: float
    """Upper end of the 95 % interval."""

    seeds: int
    images: int

    @property
    def verdict(self) -> str:
        """'helped', 'hurt' or 'did not help': the first two only if the interval excludes zero."""
        return "helped" if self.low > 0 else "hurt" if self.high < 0 else "did not help"

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain JSON types."""
        return asdict(self)

    @property
    def finding(self) -> str:
        """The first words of the sentence."""
        return {"helped": "The teacher helped by", "hurt": "The teacher hurt"}.get(
            self.verdict, "The teacher did not help"
        )

    def sentence(self) -> str:
        """The finding in words."""
        colon = "" if self.verdict == "helped" else ":"
        seeds = f"{self.seeds} seeds" if self.seeds > 1 else "1 seed, whose luck is not in the interval"
        interval = f"{self.points:+.1f} ({self.low:.1f} to {self.high:.1f}) points"
        return f"{self.finding}{colon} {interval}, over {self.images} test images and {seeds}."


def paired_gain(with_SN: NDArray[np.bool_], without_SN: NDArray[np.bool_]) -> Gain:
    """Compare two ways of training by their answers to the same test images with the same seeds.

    Seeds and images are crossed random factors: another seed moves all images, another image is hard for all seeds.
    The variance of the mean is `(MS_seed + MS_image - MS_rest) / (S N)` of a two-way analysis of variance, and the
    interval is Student's t with Satterthwaite's degrees of freedom (Brennan, 'Generalizability Theory', 2001, section
    6.2; Clark, 1973). With one seed the interval covers the images alone, since the variance between seeds is unknown.

    Args:
        with_SN: `(seeds, images)`: whether each answer is right after training in the first way.
        without_SN: The same for the second way; seeds and images in the same order.

    Raises:
        ValueError: The shapes differ, or there are fewer than two images.
    """
    if with_SN.shape != without_SN.shape or with_SN.shape[1] < 2:
        raise ValueError(f"cannot compare {with_SN.shape} with {without_SN.shape}")
    difference_SN = with_SN.astype(np.float64) - without_SN
    seeds, images = difference_SN.shape
    variance, freedom = _of_images(difference_SN[0]) if seeds == 1 else _of_both(difference_SN)
    mean = float(difference_SN.mean())
    reach = _quantile(freedom) * variance**0.5
    return Gain(100 * mean, 100 * (mean - reach), 100 * (mean + reach), seeds, images)


def _of_images(difference_N: NDArray[np.float64]) -> tuple[float, float]:
    return float(difference_N.var(ddof=1)) / len(difference_N), len(difference_N) - 1


def _of_both(difference_SN: NDArray[np.float64]) -> tuple[float, float]:
    """Variance of the mean and its degrees of freedom."""
    seeds, images = difference_SN.shape
    by_seed_S, by_image_N, mean = difference_SN.mean(1), difference_SN.mean(0), difference_SN.mean()
    rest_SN = difference_SN - by_seed_S[:, None] - by_image_N + mean
    squares = [
        (images * float(by_seed_S.var(ddof=1)), seeds - 1),
        (seeds * float(by_image_N.var(ddof=1)), images - 1),
        (float((rest_SN**2).sum()) / ((seeds - 1) * (images - 1)), (seeds - 1) * (images - 1)),
    ]
    (of_seeds, _), (of_images, _), (of_rest, _) = squares
    # Sampling noise can make the sum smaller than one of its parts, which is impossible for variances.
    total = max(of_seeds + of_images - of_rest, of_seeds, of_images)
    spread = sum(square**2 / freedom for square, freedom in squares)
    return total / (seeds * images), max(1.0, total**2 / spread) if spread else 1.0


def _quantile(freedom: float) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + _CONFIDENCE) / 2, freedom))
