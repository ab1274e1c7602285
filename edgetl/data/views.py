"""Augmented views. A view is a pure function of its address: the seed, the view number and the sample number.

Therefore a teacher's answer can be stored by address, a killed run resumes with the same pixels, and workers agree.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgetl.data.decoding import Box, Picture
from edgetl.data.randaugment import CHOICES, changed
from edgetl.recipe.images import AugmentConfig
from edgetl.runner.contract import Contract

__all__ = ["EVALUATION", "Mixing", "Views", "evaluation", "mixed", "mixing", "view"]

EVALUATION = -1
"""The view number of the evaluation preprocessing."""

_GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue (ITU-R BT.601), as Pillow has them."""

_MAX_ASPECT = 4 / 3
"""Range of aspect ratios of random crops, as in Inception (Szegedy et al., arXiv 1409.4842)."""


@dataclass(frozen=True)
class Views:
    """Everything but the images that decides the pixels of views; a teacher and its students share it."""

    contract: Contract
    augment: AugmentConfig | None = None
    """Strength of the augmentation; without it there is only the evaluation preprocessing."""

    seed: int = 0
    mixup: float = 0.0
    """Largest share of another image that is mixed into a numbered view, as a fraction of 1; the share is uniform."""

    every_second: bool = False
    """Whether only views 0, 2, 4 ... are mixed, so that a training of as many epochs as views ends with a plain one."""

    groups: tuple[int, ...] = ()
    """A group for each image, which is mixed with images of its own group alone; empty if all are one group."""

    mixup_alpha: float = 0.0
    """Of the Beta distribution of that share instead; 0 for none."""

    cutmix_alpha: float = 0.0
    """Of the Beta distribution of the part that a box of another image covers instead; 0 for none."""

    @property
    def mixes(self) -> bool:
        """Whether another image is mixed into a numbered view."""
        return bool(self.mixup or self.mixup_alpha or self.cutmix_alpha)

    def is_mixed(self, view: int) -> bool:
        """Whether another image is mixed into the view of this number."""
        return self.mixes and view != EVALUATION and (not self.every_second or view % 2 == 0)

    def for_labels(self) -> "Views":
        """The same views, mixed as the recipe says for training on labels alone."""
        if self.augment is None or not self.augment.mixes:
            return self
        return replace(
            self,
            mixup=0.0,
            every_second=False,
            groups=(),
            mixup_alpha=self.augment.mixup,
            cutmix_alpha=self.augment.cutmix,
        )

    def about(self) -> list[object]:
        """What decides the pixels beside the contract."""
        if self.augment is None:
            return [None, self.seed, self.mixup]
        without = {"mixup", "cutmix"} | (set() if self.augment.randaugment else {"randaugment", "magnitude"})
        alphas = [self.mixup_alpha, self.cutmix_alpha] if self.mixup_alpha or self.cutmix_alpha else []
        within = [self.every_second, self.groups] if self.every_second or self.groups else []
        return [self.augment.model_dump(exclude=without), self.seed, self.mixup, *alphas, *within]


@dataclass(frozen=True)
class Mixing:
    """What is mixed into a view."""

    partner: int
    """Position of the other image; its view of the same number is mixed in."""

    share: float
    """Share of the other image, as a fraction of 1."""

    box: tuple[int, int, int, int] | None = None
    """Left, top, right and bottom of what the other image covers, in pixels; None if the two are blended."""


def evaluation(image: Image.Image, contract: Contract) -> NDArray[np.uint8]:
    """Preprocess an image as for validation, calibration and the device, `uint8 (H, W, 3)`."""
    return contract.preprocess(image)


def view(
    image: Picture, contract: Contract, augment: AugmentConfig, *, seed: int, view: int, sample: int
) -> NDArray[np.uint8]:
    """Make one augmented view of an image.

    A random crop is resampled once, with antialiasing, to the input size. The result is rotated, shifted and mirrored,
    and its colours are changed. Rotations and shifts fill the outside by repeating the border.

    Args:
        image: The whole image, RGB. Its crop is chosen before it is decoded.
        contract: Size and filter of the result; with `squash`, a crop has the image's own aspect ratio.
        augment: Strength of the augmentation.
        seed: Seeds all views.
        view: Number of the view, from 0.
        sample: Number of the image in its split, from 0.

    Returns:
        `uint8 (H, W, 3)`.
    """
    # All numbers are drawn first and always, so that switching one change off leaves the others as they were.
    area, aspect, left, top, turn, right, down, mirror, *colours = _draws(seed, view, sample, 11)
    box = _crop_box(image, contract, 1 - area * (1 - augment.crop_area), aspect, left, top)
    result = image.resize((contract.width, contract.height), Image.Resampling[contract.filter.upper()], box=box)
    if augment.rotate_degrees or augment.shift_fraction:
        reach = augment.shift_fraction
        angle = math.radians(_either_way(turn) * augment.rotate_degrees)
        shift = (_either_way(right) * reach * contract.width, _either_way(down) * reach * contract.height)
        result = _moved(result, angle, shift)
    if augment.flip and mirror < 0.5:
        result = result.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if augment.colour:
        result = _recoloured(result, *(1 + _either_way(draw) * augment.colour for draw in colours))
    if augment.randaugment:
        further = _draws(seed, view, sample, 2 * augment.randaugment, stream=3)
        for which, sign in zip(further[::2], further[1::2], strict=True):
            result = changed(result, CHOICES[int(which * len(CHOICES))], augment.magnitude, negative=sign < 0.5)
    return np.array(result)


def mixing(views: Views, *, view: int, sample: int, count: int) -> Mixing:
    """Draw what is mixed into a view: which of `count` images, and how.

    mixup (Zhang et al., arXiv 1710.09412), its share drawn from Beta(alpha, alpha), or with a teacher, uniform up to a
    largest one as in function matching (Beyer et al., arXiv 2106.05237); or CutMix (Yun et al., arXiv 1905.04899).
    """
    generator = _generator(views.seed, view, sample, stream=1)
    which, share = generator.random(2).tolist()
    partner = int(which * count)
    if not (views.mixup_alpha or views.cutmix_alpha):
        return Mixing(partner, share * views.mixup)
    # `share` is a free draw here: with both alphas it decides between mixup and CutMix, evenly.
    if not views.cutmix_alpha or (views.mixup_alpha and share < 0.5):
        return Mixing(partner, float(generator.beta(views.mixup_alpha, views.mixup_alpha)))
    area = float(generator.beta(views.cutmix_alpha, views.cutmix_alpha))
    return _cut(partner, area, *generator.random(2).tolist(), width=views.contract.width, height=views.contract.height)


def _cut(partner: int, area: float, x: float, y: float, *, width: int, height: int) -> Mixing:
    """A box of the image's shape around a point, cut off at the border; the share is that of what is left of it."""
    half_width, half_height = math.sqrt(area) * width / 2, math.sqrt(area) * height / 2
    left, right = (round(min(max(x * width + side * half_width, 0), width)) for side in (-1, 1))
    top, bottom = (round(min(max(y * height + side * half_height, 0), height)) for side in (-1, 1))
    return Mixing(partner, (right - left) * (bottom - top) / (width * height), (left, top, right, bottom))


def mixed(own_HWC: NDArray[np.uint8], other_HWC: NDArray[np.uint8], mixing: Mixing) -> NDArray[np.uint8]:
    """Mix the second view into the first, `uint8 (H, W, 3)` each."""
    if mixing.box:
        left, top, right, bottom = mixing.box
        pasted_HWC = own_HWC.copy()
        pasted_HWC[top:bottom, left:right] = other_HWC[top:bottom, left:right]
        return pasted_HWC
    share, blended_HWC = mixing.share, own_HWC.astype(np.float32)
    blended_HWC += share * (other_HWC.astype(np.float32) - blended_HWC)
    return np.rint(blended_HWC).astype(np.uint8)


def _draws(seed: int, view: int, sample: int, count: int, *, stream: int = 0) -> list[float]:
    """Random numbers from 0 to 1 of one address and stream; 2 is the stream of edgetl.data.repeats."""
    draws: list[float] = _generator(seed, view, sample, stream).random(count).tolist()
    return draws


def _generator(seed: int, view: int, sample: int, stream: int) -> np.random.Generator:
    """The generator of one address and stream.

    Philox is counter-based: key and counter are its whole state, so the address can be used as it is.
    """
    bits = np.random.Philox(key=np.array([seed, view], np.uint64), counter=np.array([0, 0, stream, sample], np.uint64))
    return np.random.Generator(bits)


def _either_way(draw: float) -> float:
    """From 0..1 to -1..1."""
    return 2 * draw - 1


def _crop_box(image: Picture, contract: Contract, area: float, aspect: float, left: float, top: float) -> Box:
    """The box of a random crop.

    Args:
        image: The whole image.
        contract: Aspect ratio of the result; ignored with `squash`.
        area: Fraction of the image's area.
        aspect: From the narrowest (0) to the widest (1) shape.
        left: From the leftmost (0) to the rightmost (1) position.
        top: From the topmost (0) to the lowest (1) position.
    """
    own = image.width / image.height
    ratio = own if contract.resize == "squash" else _ratio(own, contract.width / contract.height, area, aspect)
    width = math.sqrt(area * image.width * image.height * ratio)
    # Of an image longer than any allowed shape, the crop keeps as much of the area as fits.
    width = min(width, image.width, image.height * ratio)
    height = min(width / ratio, image.height)
    x, y = left * (image.width - width), top * (image.height - height)
    return x, y, min(x + width, image.width), min(y + height, image.height)


def _ratio(own: float, wanted: float, area: float, draw: float) -> float:
    """A ratio of width to height near the wanted one, if possible one at which a crop of this area fits."""
    low, high = wanted / _MAX_ASPECT, wanted * _MAX_ASPECT
    fitting_low = min(max(low, area * own), high)
    fitting_high = max(min(high, own / area), low)
    return math.exp(math.log(fitting_low) + draw * (math.log(fitting_high) - math.log(fitting_low)))


def _moved(image: Image.Image, angle: float, shift: tuple[float, float]) -> Image.Image:
    """Turn an image about its centre, then shift it right and down by pixels."""
    cos, sin = math.cos(angle), math.sin(angle)
    half_width, half_height = image.width / 2, image.height / 2
    reach_x, reach_y = half_width + abs(shift[0]), half_height + abs(shift[1])
    # How far the corners of the result lie outside the image, and one pixel more for the interpolation.
    over_x = abs(cos) * reach_x + abs(sin) * reach_y - half_width
    over_y = abs(sin) * reach_x + abs(cos) * reach_y - half_height
    margin = math.ceil(max(over_x, over_y, 0)) + 1
    # The centre of rotation in the result.
    x, y = half_width + shift[0], half_height + shift[1]
    from_result = (
        *(cos, sin, half_width + margin - cos * x - sin * y),
        *(-sin, cos, half_height + margin + sin * x - cos * y),
    )
    padded = _with_border(image, margin)
    return padded.transform(image.size, Image.Transform.AFFINE, from_result, Image.Resampling.BILINEAR)


def _with_border(image: Image.Image, margin: int) -> Image.Image:
    """Repeat the outermost pixels on all sides."""
    rows = np.clip(np.arange(-margin, image.height + margin), 0, image.height - 1)
    columns = np.clip(np.arange(-margin, image.width + margin), 0, image.width - 1)
    return Image.fromarray(np.asarray(image)[rows[:, None], columns])


def _recoloured(image: Image.Image, brightness: float, contrast: float, saturation: float) -> Image.Image:
    """Change an image's colours by factors, as Pillow's ImageEnhance does, but in one pass that is clipped once.

    Brightness moves colours away from black, contrast from the image's mean grey, saturation from the pixel's own grey.
    """
    own, grey = brightness * contrast * saturation, brightness * contrast * (1 - saturation)
    mean = brightness * float(np.asarray(image.convert("L")).mean())
    rows = [[*(grey * weight for weight in _GREY), (1 - contrast) * mean] for _ in range(3)]
    for channel, row in enumerate(rows):
        row[channel] += own
    return image.convert("RGB", (*rows[0], *rows[1], *rows[2]))
