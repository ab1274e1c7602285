"""Which images estimate the activation ranges: from the training split only, balanced over the classes."""

from itertools import chain, zip_longest

from edgetl.artifact import hash_of
from edgetl.data.index import ImageIndex, Sample

__all__ = ["affordable_count", "calibration_samples"]

_MOST_PIXELS = 256 * 224 * 224
"""All calibration images go through the network together; these take some 3.5 GB in a MobileNetV2."""
_FEWEST = 32


def affordable_count(wanted: int, height: int, width: int) -> int:
    """How many images of a size can be calibrated on: `wanted`, or fewer large ones, but at least 32 if wanted."""
    return min(wanted, max(_FEWEST, _MOST_PIXELS // (height * width)))


def calibration_samples(index: ImageIndex, count: int, *, seed: int) -> list[Sample]:
    """Choose up to `count` distinct training images, class by class in turn, in an order that the seed decides.

    Args:
        index: The data.
        count: Images wanted; all training images if there are fewer.
        seed: Seeds the choice.
    """
    by_class: dict[int, dict[str, Sample]] = {}
    for sample in index.split("train"):
        by_class.setdefault(sample.label, {})[sample.sha256] = sample  # a copy of a file adds nothing
    shuffled = [
        sorted(samples.values(), key=lambda s: hash_of([seed, s.sha256])) for _, samples in sorted(by_class.items())
    ]
    in_turn = chain.from_iterable(zip_longest(*shuffled))
    return [sample for sample in in_turn if sample is not None][:count]
