"""The changes of RandAugment (Cubuk et al., arXiv 1909.13719), by Pillow, as torchvision's reference makes them.

By hand, as torchvision draws them from PyTorch's global generator, and views are functions of their address; and since
its import takes longer than the work of a worker's first batch. A test compares each with torchvision's.
"""

import math
from collections.abc import Callable
from functools import partial

from PIL import Image, ImageEnhance, ImageOps

__all__ = ["CHOICES", "changed"]

_STEPS = 30
"""The largest magnitude."""

_GREY = (128, 128, 128)
"""Fills what comes in at the border, as in the paper's code."""

_Change = Callable[[Image.Image, float], Image.Image]


def changed(image: Image.Image, choice: str, magnitude: int, *, negative: bool) -> Image.Image:
    """Apply one change.

    Args:
        image: RGB.
        choice: One of `CHOICES`.
        magnitude: 0 to 30.
        negative: Whether a change that has two directions goes the other way.
    """
    change, largest, two_ways = _CHANGES[choice]
    strength = largest * magnitude / _STEPS
    return change(image, -strength if two_ways and negative else strength)


def _affine(image: Image.Image, matrix: tuple[float, float, float, float, float, float]) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=_GREY)


def _shear_x(image: Image.Image, slope: float) -> Image.Image:
    return _affine(image, (1, slope, 0, 0, 1, 0))


def _shear_y(image: Image.Image, slope: float) -> Image.Image:
    return _affine(image, (1, 0, 0, slope, 1, 0))


def _translate_x(image: Image.Image, fraction: float) -> Image.Image:
    return _affine(image, (1, 0, -int(fraction * image.width), 0, 1, 0))


def _translate_y(image: Image.Image, fraction: float) -> Image.Image:
    return _affine(image, (1, 0, 0, 0, 1, -int(fraction * image.height)))


def _rotate(image: Image.Image, degrees: float) -> Image.Image:
    return image.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=_GREY)


def _enhance(kind: Callable[[Image.Image], ImageEnhance._Enhance], image: Image.Image, strength: float) -> Image.Image:
    return kind(image).enhance(1 + strength)


def _posterize(image: Image.Image, bits: float) -> Image.Image:
    return ImageOps.posterize(image, 8 - round(bits))


def _solarize(image: Image.Image, below_white: float) -> Image.Image:
    return ImageOps.solarize(image, math.ceil(255 - below_white))


# By name: the change, its strength at the largest magnitude, and whether it goes two ways.
_CHANGES: dict[str, tuple[_Change, float, bool]] = {
    "Identity": (lambda image, _: image, 0.0, False),
    "ShearX": (_shear_x, 0.3, True),
    "ShearY": (_shear_y, 0.3, True),
    "TranslateX": (_translate_x, 150 / 331, True),
    "TranslateY": (_translate_y, 150 / 331, True),
    "Rotate": (_rotate, 30.0, True),
    "Brightness": (partial(_enhance, ImageEnhance.Brightness), 0.9, True),
    "Color": (partial(_enhance, ImageEnhance.Color), 0.9, True),
    "Contrast": (partial(_enhance, ImageEnhance.Contrast), 0.9, True),
    "Sharpness": (partial(_enhance, ImageEnhance.Sharpness), 0.9, True),
    "Posterize": (_posterize, 4.0, False),
    "Solarize": (_solarize, 255.0, False),
    "AutoContrast": (lambda image, _: ImageOps.autocontrast(image), 0.0, False),
    "Equalize": (lambda image, _: ImageOps.equalize(image), 0.0, False),
}
CHOICES = tuple(_CHANGES)
"""Names of the changes, in torchvision's order."""
