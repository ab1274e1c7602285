"""Batches for PyTorch: the same bytes in the same order, for any number of workers and from any epoch on."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from edgetl.config import AugmentConfig
from edgetl.data.index import ImageIndex
from edgetl.data.views import evaluation, view
from edgetl.environment import machine
from edgetl.errors import DataError
from edgetl.runner.contract import Contract, UnreadableImage, load_image

__all__ = ["EVALUATION", "Address", "Batch", "ViewDataset", "ordered_batches", "training_batches", "worker_count"]

EVALUATION = -1
"""The view that stands for the evaluation preprocessing."""

Address = tuple[int, int]
"""An image's position in its split, and the number of a view."""

_TINY_SIDE = 64
_MAX_AUTO_WORKERS = 4
_REUSE_BYTES = 256 * 2**20

_Item = tuple[NDArray[np.uint8], int, Address]
_Stacked = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class Batch:
    """Images as the model takes them."""

    images_NHWC: torch.Tensor
    """`uint8 (N, H, W, 3)`."""

    labels_N: torch.Tensor
    """`int64 (N,)`."""

    positions_N: torch.Tensor
    """`int64 (N,)`, within the split."""

    view: int
    """The one view of all images of the batch."""

    epoch: int
    """From 0."""

    last_of_epoch: bool

    def to(self, device: torch.device) -> "Batch":
        """The same batch with images and labels on a device."""
        images_NHWC, labels_N = self.images_NHWC.to(device), self.labels_N.to(device)
        return replace(self, images_NHWC=images_NHWC, labels_N=labels_N)


class ViewDataset(Dataset[_Item | DataError]):
    """The images of one split by address."""

    def __init__(
        self, index: ImageIndex, split: str, contract: Contract, augment: AugmentConfig | None, seed: int
    ) -> None:
        self._index = index
        self._samples = index.split(split)
        self._contract = contract
        self._augment = augment
        self._seed = seed
        # Opening a tiny file takes longer than all that is done with it.
        needed_bytes = 3 * index.median_side**2 * len(self._samples)
        self._reuse = index.median_side <= _TINY_SIDE and needed_bytes <= _REUSE_BYTES
        self._decoded: dict[int, Image.Image] = {}

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, address: Address) -> _Item | DataError:
        """The view, its label and its address; a fault is handed over, since to raise it in a worker garbles it."""
        position, number = address
        try:
            image = self._image(position)
        except DataError as fault:
            return fault
        if number == EVALUATION:
            pixels = evaluation(image, self._contract)
        elif self._augment is None:
            raise ValueError("an augmented view needs the recipe's augmentation")
        else:
            pixels = view(image, self._contract, self._augment, seed=self._seed, view=number, sample=position)
        return pixels, self._samples[position].label, address

    def _image(self, position: int) -> Image.Image:
        if position in self._decoded:
            return self._decoded[position]
        file = self._index.file(self._samples[position])
        try:
            image = load_image(file)
        except UnreadableImage as cause:
            raise DataError(f"{file}: has changed since this run read it ({cause}). Restore it") from cause
        if self._reuse:
            self._decoded[position] = image
        return image


def worker_count(index: ImageIndex, workers: int | Literal["auto"]) -> int:
    """How many processes decode images; more than there are cores would only wait for each other."""
    cores = int(machine()["cores"])
    if workers == "auto":
        return 0 if index.median_side <= _TINY_SIDE else min(_MAX_AUTO_WORKERS, cores)
    return min(workers, cores)


def training_batches(
    index: ImageIndex,
    split: str,
    contract: Contract,
    augment: AugmentConfig,
    *,
    seed: int,
    batch_size: int,
    epochs: range,
    view_of_epoch: Callable[[int], int],
    workers: int | Literal["auto"],
) -> Iterator[Batch]:
    """Give full batches of augmented views in a random order, epoch by epoch, from one pool of workers.

    What an epoch holds depends on the seed and its number only, so a run that starts at epoch `e` sees what an
    uninterrupted one would. The images that do not fill a batch sit out; they are others in each epoch.

    Args:
        index: The images.
        split: 'train', 'val' or 'test'.
        contract: The model's input.
        augment: How far a view may differ from its image.
        seed: Seeds order and views.
        batch_size: Images per batch; all of them, if there are fewer.
        epochs: Numbers of the epochs to give.
        view_of_epoch: Number of the view that an epoch shows of every image.
        workers: Processes that decode, or 'auto'.

    Raises:
        DataError: A file is gone or has changed.
    """
    dataset = ViewDataset(index, split, contract, augment, seed)
    size = min(batch_size, len(dataset))
    steps = len(dataset) // size

    def plan() -> Iterator[list[Address]]:
        for epoch in epochs:
            order, number = _shuffled(len(dataset), seed, epoch), view_of_epoch(epoch)
            for step in range(steps):
                yield [(position, number) for position in order[step * size : (step + 1) * size]]

    for done, tensors in enumerate(_load(dataset, plan(), worker_count(index, workers))):
        epoch = epochs[done // steps]
        yield Batch(*tensors, view_of_epoch(epoch), epoch, (done + 1) % steps == 0)


def ordered_batches(
    index: ImageIndex,
    split: str,
    contract: Contract,
    *,
    batch_size: int,
    workers: int | Literal["auto"],
    view: int = EVALUATION,
    augment: AugmentConfig | None = None,
    seed: int = 0,
) -> Iterator[Batch]:
    """Give one view of every image of a split, in order; the last batch may be smaller.

    Args:
        index: The images.
        split: 'train', 'val' or 'test'.
        contract: The model's input.
        batch_size: Images per batch.
        workers: Processes that decode, or 'auto'.
        view: Number of the view; the evaluation preprocessing, if not given.
        augment: How far a numbered view may differ from its image.
        seed: Seeds numbered views.

    Raises:
        DataError: A file is gone or has changed.
        ValueError: A numbered view without `augment`.
    """
    if view != EVALUATION and augment is None:
        raise ValueError("a numbered view needs the recipe's augmentation")
    dataset = ViewDataset(index, split, contract, augment, seed)
    starts = range(0, len(dataset), batch_size)
    plan = ([(p, view) for p in range(start, min(start + batch_size, len(dataset)))] for start in starts)
    for start, tensors in zip(starts, _load(dataset, plan, worker_count(index, workers)), strict=True):
        yield Batch(*tensors, view, 0, start == starts[-1])


def _shuffled(count: int, seed: int, epoch: int) -> list[int]:
    order: list[int] = np.random.default_rng((seed, epoch)).permutation(count).tolist()
    return order


def _load(
    dataset: ViewDataset, plan: Iterator[list[Address]], workers: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    # A generator of its own: the loader would else draw from PyTorch's, and shift what the training draws.
    generator = torch.Generator()
    # A fork copies the locks that JAX's threads hold (the TFLite converter brings JAX), and may never wake up.
    start = "forkserver" if workers and "jax" in sys.modules else None
    loader = DataLoader(
        dataset,
        batch_sampler=plan,
        num_workers=workers,
        collate_fn=_stack,
        generator=generator,
        multiprocessing_context=start,
    )
    for stacked in loader:
        if isinstance(stacked, DataError):
            raise stacked
        images_NHWC, labels_N, positions_N = map(torch.from_numpy, stacked)
        yield images_NHWC, labels_N, positions_N


def _stack(items: list[_Item | DataError]) -> _Stacked | DataError:
    """Put items together as NumPy arrays, which travel through a pipe; tensors need shared memory, often too small."""
    good: list[_Item] = []
    for item in items:
        if isinstance(item, DataError):
            return item
        good.append(item)
    pixels, labels, addresses = zip(*good, strict=True)
    return np.stack(pixels), np.array(labels, np.int64), np.array([position for position, _ in addresses], np.int64)
