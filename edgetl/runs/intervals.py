"""How far an accuracy on a few images may be from the accuracy on all such images."""

from statistics import NormalDist

__all__ = ["FEW_IMAGES", "accuracy_interval", "wilson"]

FEW_IMAGES = 2000
"""From this many images on, an accuracy stands alone: its interval reaches 2.2 points at most, and 1 point at 95 %."""

_DEVIATE = NormalDist().inv_cdf(0.975)
"""Standard deviations that 95 % of a normal distribution lie within."""


def wilson(right: int, total: int) -> tuple[float, float]:
    """The 95 % score interval of a fraction (Wilson, 1927), as fractions of 1.

    Unlike mean and standard error, it stays inside 0 to 1, has a width where all are right, and covers what it promises
    on 40 images and fewer (Brown, Cai and DasGupta, 'Interval Estimation for a Binomial Proportion', 2001).

    Args:
        right: How many are right.
        total: Of how many.

    Raises:
        ValueError: There are none, or more are right than there are.
    """
    if not 0 <= right <= total or total == 0:
        raise ValueError(f"no fraction: {right} of {total}")
    square, part = _DEVIATE**2, right / total
    middle = (part + square / (2 * total)) / (1 + square / total)
    reach = _DEVIATE * (part * (1 - part) / total + square / (4 * total**2)) ** 0.5 / (1 + square / total)
    # Rounding must not put the ends beyond what is possible.
    return max(0.0, middle - reach) if right else 0.0, min(1.0, middle + reach) if right < total else 1.0


def accuracy_interval(top1: float, images: float) -> tuple[float, float] | None:
    """The interval of an accuracy; None where it is not needed, or the number of images is unknown (0).

    Args:
        top1: The accuracy, as a fraction of 1.
        images: Images that it was measured on.
    """
    return wilson(round(top1 * images), round(images)) if 1 <= images < FEW_IMAGES else None
