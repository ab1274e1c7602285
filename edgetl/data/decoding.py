"""From a file to a picture that is decoded just large enough for an augmented view.

Evaluation, calibration and the device use `load_image` alone. A view may differ from it by a little: a JPEG is decoded
at 1/2, 1/4 or 1/8 of its size where its crop needs no more, which costs less time. What is not a plain RGB JPEG is left
to `load_image`, and so is every judgement of whether a file can be read.
"""

import math
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Protocol

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import interpolate

from edgetl.runner.contract import load_image

__all__ = ["Box", "Picture", "decoder_of_views", "open_picture"]

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels."""

_FACTORS = (8, 4, 2)
"""Divisors of the size at which libjpeg-turbo saves time; with others, such as 8/7, it is slower than in full size."""

_MODES = {Image.Resampling.BILINEAR: "bilinear", Image.Resampling.BICUBIC: "bicubic"}
_ORIENTATION = 0x0112
_UPRIGHT = 1

_NOT_PLAIN = (
    *(OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, ArithmeticError),
    *(Image.DecompressionBombError, Image.DecompressionBombWarning),
)
"""What Pillow raises when it opens a damaged or enormous file."""


class Picture(Protocol):
    """What a view needs of an image; Pillow's images have it."""

    @property
    def width(self) -> int:
        """Pixels, as seen upright and in full size."""

    @property
    def height(self) -> int:
        """Pixels, as seen upright and in full size."""

    def resize(self, size: tuple[int, int], resample: Image.Resampling, box: Box | None = None) -> Image.Image:
        """Resample a box, given in pixels of the full size, to a width and height, with antialiasing."""


@dataclass(frozen=True)
class _Jpeg:
    """A plain RGB JPEG that is not decoded yet."""

    content: bytes
    width: int
    height: int

    def resize(self, size: tuple[int, int], resample: Image.Resampling, box: Box | None = None) -> Image.Image:
        """As of `Picture`.

        Raises:
            UnreadableImage: The file does not decode completely.
        """
        box = box or (0, 0, self.width, self.height)
        factor = _factor(size, box)
        try:
            pixels_HWC = self._decoded(factor)
        except ValueError:  # what stops this decoder may be a mere warning to Pillow, which decides
            return load_image(self.content).resize(size, resample, box=box)
        rows, columns = (_whole(box[axis] / factor, box[axis + 2] / factor) for axis in (1, 0))
        return _resampled(pixels_HWC[rows, columns], size, _MODES[resample])

    def _decoded(self, factor: int) -> NDArray[np.uint8]:
        """The whole image, `uint8 (H, W, 3)`, at its size divided by a factor and rounded up."""
        least = {"min_width": -(-self.width // factor), "min_height": -(-self.height // factor)}
        pixels_HWC: NDArray[np.uint8] = simplejpeg.decode_jpeg(self.content, "RGB", min_factor=factor, **least)
        return pixels_HWC


def _resampled(pixels_HWC: NDArray[np.uint8], size: tuple[int, int], mode: str) -> Image.Image:
    """Resample as Pillow does, to within a level, in a third of its time."""
    images_NCHW = torch.from_numpy(pixels_HWC).permute(2, 0, 1)[None]
    resampled_NCHW = interpolate(images_NCHW, (size[1], size[0]), mode=mode, antialias=True)
    return Image.fromarray(resampled_NCHW[0].permute(1, 2, 0).numpy())


def open_picture(file: Path) -> Picture:
    """Open an image file for views.

    Raises:
        UnreadableImage: As of `load_image`; for a plain JPEG, only the picture's `resize` finds damaged pixels.
    """
    try:
        content = file.read_bytes()
        with Image.open(BytesIO(content), formats=("JPEG",)) as head:
            if head.mode == "RGB" and head.getexif().get(_ORIENTATION, _UPRIGHT) == _UPRIGHT:
                return _Jpeg(content, head.width, head.height)
    except _NOT_PLAIN:
        pass  # decided below, in the words of `load_image`
    return load_image(file)


def decoder_of_views() -> str:
    """Name and version of the decoder, which decide the pixels of views as their seed does."""
    return f"simplejpeg {simplejpeg.__version__}"


def _whole(low: float, high: float) -> slice:
    """The whole pixels nearest to a range, at least one."""
    start = min(round(low), math.ceil(high) - 1)
    return slice(start, max(round(high), start + 1))


def _factor(size: tuple[int, int], box: Box) -> int:
    """The largest divisor at which a box is no smaller than the size that is asked for; 1 if none is."""
    left, top, right, bottom = box
    shrinking = min((right - left) / size[0], (bottom - top) / size[1])
    return next((factor for factor in _FACTORS if factor <= shrinking), 1)
