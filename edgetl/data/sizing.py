"""Decide the model's input; docs/small-images.md gives the reasons."""

from dataclasses import dataclass, replace
from typing import Literal

from edgetl.data.index import ImageIndex
from edgetl.recipe.fields import Recipe
from edgetl.runner.contract import Contract

__all__ = ["Preprocessing", "decide_contract", "student_contract"]

_STEP = 32
"""Total stride of the usual networks, in pixels."""

_LEAST_PRETRAINED = 128
"""Smallest input of pretrained weights, in pixels: the last map of a stride-32 network is then 4 x 4."""

_NATIVE_CROP_FRACTION = 0.9
"""Between timm's 0.875 and 1; see 'the whole image or its centre' in the docs (arXiv 1906.06423)."""


@dataclass(frozen=True)
class Preprocessing:
    """What a network expects of its input."""

    mean: tuple[float, float, float]
    """Per channel, of values scaled to 0..1."""

    std: tuple[float, float, float]
    """Per channel, of values scaled to 0..1."""

    native_size: int
    """Height and width of the published network's input, in pixels."""

    pretrained: bool
    """Whether its weights were trained at that size."""


def decide_contract(index: ImageIndex, recipe: Recipe, preprocessing: Preprocessing) -> Contract:
    """Choose size and crop of the input from the images, the recipe and the network.

    Below the native size the whole image is kept (`crop_fraction` 1), since small images have no border to spare. At
    the native size and above, the central 0.9 is kept, which brings objects closer to their scale in training crops.
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


def student_contract(
    teacher: Contract, index: ImageIndex, asked: int | Literal["auto"], preprocessing: Preprocessing
) -> Contract:
    """The contract of a student: it sees what its teacher sees, in a size of its own.

    A student forced to a larger size than its weights were made for would pay for it on the device.
    """
    size = min(teacher.height, preprocessing.native_size) if asked == "auto" else asked
    return replace(
        teacher, labels=index.labels, height=size, width=size, mean=preprocessing.mean, std=preprocessing.std
    )


def _auto_size(median_side: int, preprocessing: Preprocessing) -> int:
    """The images' own size in steps of 32, at least what the weights need and at most the native size."""
    least = _LEAST_PRETRAINED if preprocessing.pretrained else _STEP
    rounded_up = -(-median_side // _STEP) * _STEP
    return min(max(rounded_up, least), preprocessing.native_size)
