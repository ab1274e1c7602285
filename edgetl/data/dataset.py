"""A dataset of views by address, and batches of them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import Dataset

from edgetl.data.decoding import Picture, open_picture
from edgetl.data.index import ImageIndex, Sample
from edgetl.data.views import EVALUATION, Mixing, Views, evaluation, mixed, mixing, view
from edgetl.errors import DataError
from edgetl.runner.contract import UnreadableImage, load_image

__all__ = ["TINY_SIDE", "Address", "Batch", "Item", "ViewDataset"]

TINY_SIDE = 64
"""Images up to this side, in pixels, are opened once and kept: opening their files dominates the time of a view."""

_REUSE_BYTES = 256 * 2**20
"""Most memory for decoded images, per process."""

Address = tuple[int, int]
"""An image's position among the samples, and a view number."""

Item = tuple[NDArray[np.uint8], Address]
"""Pixels `uint8 (H, W, 3)`, and their address."""


@dataclass(frozen=True)
class Batch:
    """A batch of images with labels."""

    images_NHWC: torch.Tensor
    """`uint8 (N, H, W, 3)`; or `float16 (N, ...)`, where a part of the network has already seen them."""

    labels_N: torch.Tensor
    """`int64 (N,)`; -1 where there is none."""

    positions_N: torch.Tensor
    """`int64 (N,)`, positions among the samples."""

    view: int
    """View number, the same for the whole batch; but an image that comes again in an epoch shows another view."""

    step: int
    """Number of the batch, counted over all epochs."""

    partner_labels_N: torch.Tensor
    """`int64 (N,)`: labels of the images that are mixed in."""

    partner_shares_N: torch.Tensor
    """`float32 (N,)`: their shares, as fractions of 1."""

    def to(self, device: torch.device) -> "Batch":
        """The batch with everything that a loss reads on a device; a copy to a GPU overlaps with its work."""
        if device.type == "cpu":
            return self
        names = ("images_NHWC", "labels_N", "partner_labels_N", "partner_shares_N")
        return replace(self, **{name: getattr(self, name).pin_memory().to(device, non_blocking=True) for name in names})

    def part(self, start: int, stop: int) -> "Batch":
        """Some of its images."""
        values = ((each.name, getattr(self, each.name)) for each in fields(self))
        some: dict[str, Any] = {name: value[start:stop] for name, value in values if isinstance(value, torch.Tensor)}
        return replace(self, **some)


class ViewDataset(Dataset[Item | DataError]):
    """Views by address.

    Args:
        index: Where the images are.
        samples: The images.
        views: How they become views.
        partners: Positions of the images that may be mixed into others, each as often as it shall be drawn; None for
            all samples. Where the views have groups, these decide.
    """

    def __init__(
        self, index: ImageIndex, samples: Sequence[Sample], views: Views, partners: Sequence[int] | None = None
    ) -> None:
        self._index = index
        self._samples = samples
        self._views = views
        self._partners = range(len(samples)) if partners is None else partners
        self._members: defaultdict[int, list[int]] = defaultdict(list)
        for position, group in enumerate(views.groups):
            self._members[group].append(position)
        needed_bytes = 3 * index.median_side**2 * len(samples)
        self._reuse = index.median_side <= TINY_SIDE and needed_bytes <= _REUSE_BYTES
        self._images: dict[int, Image.Image] = {}
        self._pictures: dict[int, Picture] = {}

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, address: Address) -> Item | DataError:
        """The view and its address; an error is returned, since raising it in a worker garbles its message."""
        try:
            return self._pixels(*address), address
        except DataError as fault:
            return fault

    @property
    def view_bytes(self) -> int:
        """Memory of one view."""
        return 3 * self._views.contract.height * self._views.contract.width

    def mixing(self, address: Address) -> Mixing | None:
        """What is mixed into a view; None for nothing."""
        position, number = address
        if not self._views.is_mixed(number):
            return None
        partners = self._members[self._views.groups[position]] if self._views.groups else self._partners
        drawn = mixing(self._views, view=number, sample=position, count=len(partners))
        return replace(drawn, partner=partners[drawn.partner])

    def label(self, position: int) -> int:
        """Label of an image; -1 if it has none."""
        return self._samples[position].label

    def _pixels(self, position: int, number: int) -> NDArray[np.uint8]:
        own_HWC = self._alone(position, number)
        partner = self.mixing((position, number))
        return mixed(own_HWC, self._alone(partner.partner, number), partner) if partner else own_HWC

    def _alone(self, position: int, number: int) -> NDArray[np.uint8]:
        try:
            return self._evaluated(position) if number == EVALUATION else self._augmented(position, number)
        except UnreadableImage as cause:
            file = self._index.file(self._samples[position])
            raise DataError(f"{file}: has changed since this run read it ({cause}). Restore it") from cause

    def _evaluated(self, position: int) -> NDArray[np.uint8]:
        image = self._images.get(position) or load_image(self._index.file(self._samples[position]))
        if self._reuse:
            self._images[position] = image
        return evaluation(image, self._views.contract)

    def _augmented(self, position: int, number: int) -> NDArray[np.uint8]:
        views = self._views
        if views.augment is None:
            raise ValueError("a numbered view needs the recipe's augmentation")
        picture = self._pictures.get(position) or open_picture(self._index.file(self._samples[position]))
        if self._reuse:
            self._pictures[position] = picture
        return view(picture, views.contract, views.augment, seed=views.seed, view=number, sample=position)
