"""Choose the calibration images: training images balanced over the classes, or those of a folder."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

from edgetl.data.index import ImageIndex, Sample
from edgetl.data.unlabelled import unjudged_images
from edgetl.runs.files import hash_of
from edgetl.runs.stage import StageContext

__all__ = ["Calibration", "affordable_count", "balanced_samples", "choose_calibration"]

_MOST_PIXELS = 256 * 224 * 224
"""All calibration images pass the network together; these take some 5.5 GB in a MobileNetV2."""

_FEWEST = 32
"""The least that a recipe can ask for."""


@dataclass(frozen=True)
class Calibration:
    """The chosen images."""

    files: dict[str, Path]
    """Paths by the name in the record."""

    sha256s: dict[str, str]
    """Hashes by the same names."""

    warnings: tuple[str, ...]
    """Warnings for the user about the choice."""


def affordable_count(wanted: int, height: int, width: int) -> int:
    """The number of images of this size to calibrate on: `wanted`, or fewer if they are large, but at least 32."""
    return min(wanted, max(_FEWEST, _MOST_PIXELS // (height * width)))


def balanced_samples(samples: Iterable[Sample], count: int, *, seed: int) -> list[Sample]:
    """Choose up to `count` distinct images, class by class in turn, in an order that the seed decides.

    Args:
        samples: The candidates.
        count: Images wanted; all if there are fewer.
        seed: Seeds the choice.
    """
    by_class: dict[int, dict[str, Sample]] = {}
    for sample in samples:
        by_class.setdefault(sample.label, {})[sample.sha256] = sample  # copies of a file count once
    shuffled = [sorted(each.values(), key=lambda s: hash_of([seed, s.sha256])) for _, each in sorted(by_class.items())]
    in_turn = chain.from_iterable(zip_longest(*shuffled))
    return [sample for sample in in_turn if sample is not None][:count]


def choose_calibration(context: StageContext, index: ImageIndex) -> Calibration:
    """Choose images as the recipe says.

    Raises:
        DataError: The folder cannot be used, or shows images of the test or validation split.
    """
    wanted, seed = context.recipe.quantize.calibration_images, context.recipe.seed
    count = affordable_count(wanted, context.contract.height, context.contract.width)
    warnings = []
    if count < wanted:
        warnings.append(f"Calibration: {count} images instead of {wanted}; of this size more may not fit in memory.")
    if folder := context.recipe.quantize.calibration:
        allowed = context.recipe.data.max_unreadable
        found = unjudged_images(Path(folder).expanduser(), index, max_unreadable=allowed, reporter=context.reporter)
        chosen = sorted(found, key=lambda place: hash_of([seed, found[place]]))[:count]
        return Calibration({p: Path(p) for p in chosen}, {p: found[p] for p in chosen}, tuple(warnings))
    samples = balanced_samples(index.split("train"), count, seed=seed)
    if (unseen := len(index.labels) - len({sample.label for sample in samples})) > 0:
        warnings.append(
            f"Calibration: {len(samples)} images for {len(index.labels)} classes; {unseen} classes have none."
            " Raise quantize.calibration_images."
        )
    files = {sample.path: index.file(sample) for sample in samples}
    return Calibration(files, {sample.path: sample.sha256 for sample in samples}, tuple(warnings))
