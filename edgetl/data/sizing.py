"""Decide the model's input; docs/small-images.md has the reasons."""

from dataclasses import dataclass

from edgetl.data.index import ImageIndex
from edgetl.recipe.fields import Recipe
from edgetl.runner.contract import Contract

__all__ = ["Preprocessing", "decide_contract"]

_STEP = 32
_LEAST_PRETRAINED = 128
_NATIVE_CROP_FRACTION = 0.9


@dataclass(frozen=True)
class Preprocessing:
    """What a network expects of its input."""

    mean: tuple[float, float, float]
    """Per channel, of values scaled to 0..1."""

    std: tuple[float, float, float]
    """Per channel, of values scaled to 0..1."""

    native_size: int
    """Height and width that it was designed for, in pixels."""

    pretrained: bool
    """Whether its weights have seen images of that size."""


def decide_contract(index: ImageIndex, recipe: Recipe, preprocessing: Preprocessing) -> Contract:
    """Choose size and crop of the input from the images, the recipe and the network.

    An input below the native size keeps the whole image (`crop_fraction` 1): small images have no border to spare.
    At the native size and above, the centre 0.9 is kept, which shows objects closer to the scale of training crops.
    """
    size = recipe.data.image_size
    if size == "auto":
        size = _auto_size(index.median_side, preprocessing)
    whole = size < preprocessing.native_size or recipe.data.resize == "squash"
    return Contract(
        labels=index.labels,
        height=size,
        width=size,
        resize=recipe.data.resize,
        crop_fraction=1.0 if whole else _NATIVE_CROP_FRACTION,
        filter=recipe.data.filter,
        mean=preprocessing.mean,
        std=preprocessing.std,
    )


def _auto_size(median_side: int, preprocessing: Preprocessing) -> int:
    """The images' own size in steps of 32, not below what the weights need, not above what the network expects."""
    least = _LEAST_PRETRAINED if preprocessing.pretrained else _STEP
    rounded_up = -(-median_side // _STEP) * _STEP
    return min(max(rounded_up, least), preprocessing.native_size)
