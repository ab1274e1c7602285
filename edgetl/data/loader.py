"""Batches for PyTorch: the same bytes in the same order, with any number of workers and from any first step."""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain, repeat
from multiprocessing import get_start_method
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from edgetl.data.dataset import TINY_SIDE, Address, Batch, Item, ViewDataset
from edgetl.data.exchange import PREFETCHED, Exchange, Slot
from edgetl.data.index import ImageIndex, Sample
from edgetl.data.repeats import varied
from edgetl.data.views import EVALUATION, Views
from edgetl.devices.facts import machine
from edgetl.errors import DataError
from edgetl.runner.guard import die_with

__all__ = ["Order", "Share", "ordered_batches", "planned_batches", "training_batches", "worker_count"]

_MAX_AUTO_WORKERS = 4
"""Each takes memory, and the training needs the other cores."""

_LATER = 1 << 20
"""Between the view numbers of an image's visits in one epoch: more than there are epochs."""

Share = tuple[int, int]
"""Rank of this process, from 0, and the number of processes; each takes its share of the work."""

_Stacked = tuple[NDArray[Any], list[Address]]

_Sent = tuple[NDArray[np.uint8] | Slot, list[Address]]
"""As a worker sends it."""


@dataclass(frozen=True)
class Order:
    """The order of the images."""

    images: int
    batch_size: int
    """Images per batch of all processes together; all images, if there are fewer."""

    seed: int
    view_count: int | None = None
    """Epoch e shows view e modulo this number; without it, each epoch has its own view."""

    vary_repeats: bool = False
    """Whether a repeated view is varied a little (edgetl.data.repeats)."""

    chosen: tuple[int, ...] | None = None
    """Positions of the images among the samples; None for the first `images` of them."""

    classes: tuple[int, ...] | None = None
    """The class of each image, if all classes are to come equally often; else every image comes once in an epoch."""

    @property
    def partners(self) -> Sequence[int]:
        """Positions of the images that may be mixed into others; those of rare classes are named several times."""
        places = range(self.images) if self.classes is None else _evenly(self.classes)
        return places if self.chosen is None else [self.chosen[place] for place in places]

    @property
    def steps_per_epoch(self) -> int:
        """Number of full batches; the images left over are others in each epoch."""
        return self.images // min(self.batch_size, self.images)

    def addresses(self, step: int, share: Share = (0, 1)) -> list[Address]:
        """One process's part of a batch; it depends on the seed and the step alone."""
        epoch, number = divmod(step, self.steps_per_epoch)
        size = min(self.batch_size, self.images)
        rank, count = share
        mine = slice(number * size + rank, (number + 1) * size, count)
        if self.classes is None:
            places, visits = _shuffled(self.images, self.seed, epoch)[mine].tolist(), repeat(0)
        else:
            places, visits = (each[mine].tolist() for each in _balanced(self.classes, self.seed, epoch))
        return [
            (self.chosen[place] if self.chosen else place, self._view(epoch, visit))
            for place, visit in zip(places, visits, strict=False)
        ]

    def _view(self, epoch: int, visit: int) -> int:
        """The view that an image shows in an epoch; one that comes again in it shows another."""
        return (epoch + visit) % self.view_count if self.view_count else epoch + visit * _LATER

    def varies(self, step: int) -> bool:
        """Whether a step's views are repeated and varied."""
        repeats = self.view_count is not None and step >= self.view_count * self.steps_per_epoch
        return repeats and self.vary_repeats


def worker_count(index: ImageIndex, workers: int | Literal["auto"]) -> int:
    """Number of processes that decode images, at most one per core."""
    cores = int(machine()["cores"])
    if workers == "auto":
        return 0 if index.median_side <= TINY_SIDE else min(_MAX_AUTO_WORKERS, cores)
    return min(workers, cores)


def training_batches(
    index: ImageIndex,
    samples: Sequence[Sample],
    views: Views,
    order: Order,
    steps: range,
    *,
    workers: int | Literal["auto"],
    share: Share = (0, 1),
    stored: NDArray[Any] | None = None,
) -> Iterator[Batch]:
    """Yield batches of augmented views, step by step, from one pool of workers.

    A batch depends only on the order and the number of its step, so a training that resumes at step `s` sees the same
    batches as an uninterrupted one.

    Args:
        index: Where the images are.
        samples: The images.
        views: How they become views.
        order: Their order.
        steps: Numbers of the steps to yield.
        workers: Processes that decode, or 'auto'.
        share: The part of each batch to yield.
        stored: The pixels of all views, `(V, N, ...)`, or what a network says of them; nothing is decoded then.

    Raises:
        DataError: A file is gone or has changed.
    """
    dataset = ViewDataset(index, samples, views, order.partners)
    plan = (order.addresses(step, share) for step in steps)
    loaded = _load(dataset, plan, worker_count(index, workers)) if stored is None else _read(stored, plan)
    mirror = views.augment is not None and views.augment.flip
    for step, (images_NHWC, addresses) in zip(steps, loaded, strict=True):
        if order.varies(step):
            images_NHWC = varied(images_NHWC, seed=order.seed, step=step, mirror=mirror, share=share)
        yield _batch(dataset, images_NHWC, addresses, step)


def ordered_batches(
    index: ImageIndex,
    samples: Sequence[Sample],
    views: Views,
    *,
    batch_size: int,
    workers: int | Literal["auto"],
    view: int = EVALUATION,
    share: Share = (0, 1),
) -> Iterator[Batch]:
    """Yield one view of every image, in order; the last batch may be smaller.

    Args:
        index: Where the images are.
        samples: The images.
        views: How they become views.
        batch_size: Images per batch.
        workers: Processes that decode, or 'auto'.
        view: Number of the view; by default the evaluation preprocessing.
        share: Several processes take batches in turn.

    Raises:
        DataError: A file is gone or has changed.
        ValueError: A numbered view without augmentation.
    """
    plan = [(view, start, min(start + batch_size, len(samples))) for start in range(0, len(samples), batch_size)]
    yield from planned_batches(index, samples, views, plan[share[0] :: share[1]], workers=workers)


def planned_batches(
    index: ImageIndex,
    samples: Sequence[Sample],
    views: Views,
    plan: Sequence[tuple[int, int, int]],
    *,
    workers: int | Literal["auto"],
) -> Iterator[Batch]:
    """Yield ranges of images: each entry of `plan` is a view, the first position and the one after the last.

    Raises:
        DataError: A file is gone or has changed.
        ValueError: A numbered view without augmentation.
    """
    if views.augment is None and any(view != EVALUATION for view, _, _ in plan):
        raise ValueError("a numbered view needs the recipe's augmentation")
    dataset = ViewDataset(index, samples, views)
    addresses = ([(position, view) for position in range(start, stop)] for view, start, stop in plan)
    for step, (images_NHWC, found) in enumerate(_load(dataset, addresses, worker_count(index, workers))):
        yield _batch(dataset, images_NHWC, found, step)


@lru_cache(maxsize=2)
def _shuffled(images: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch)).permutation(images)


@lru_cache(maxsize=2)
def _balanced(classes: tuple[int, ...], seed: int, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Images of an epoch in which all classes come equally often, and how often each image came before, both `(N,)`.

    A class with more images than its share shows others in each epoch; one with fewer shows all, again and again.
    """
    draws, members = np.random.default_rng((seed, epoch, 1)), _members(classes)
    places, visits = [], []
    for number, which in enumerate(draws.permutation(len(members))):
        own = members[which]
        # The first ones get what is left over.
        share = len(classes) // len(members) + (number < len(classes) % len(members))
        rounds = [draws.permutation(own) for _ in range(-(-share // len(own)))]
        places.append(np.concatenate([own[:0], *rounds])[:share])
        visits.append(np.arange(share) // len(own))
    order_N = draws.permutation(len(classes))
    return np.concatenate(places)[order_N], np.concatenate(visits)[order_N]


def _evenly(classes: tuple[int, ...]) -> list[int]:
    """Every image once, and those of smaller classes again, so that all classes are named as often as the largest."""
    members = _members(classes)
    largest = max(len(own) for own in members)
    return [int(place) for own in members for place in np.resize(own, largest)]


def _members(classes: tuple[int, ...]) -> list[NDArray[np.int64]]:
    """The images of each class that there is."""
    classes_N = np.array(classes)
    return [np.flatnonzero(classes_N == name) for name in np.unique(classes_N)]


def _read(stored: NDArray[Any], plan: Iterator[list[Address]]) -> Iterator[_Stacked]:
    for addresses in plan:
        positions, views = zip(*addresses, strict=True)
        yield stored[list(views), list(positions)], addresses


def _batch(dataset: ViewDataset, images_NHWC: NDArray[Any], addresses: list[Address], step: int) -> Batch:
    partners = [dataset.mixing(address) for address in addresses]
    positions = [position for position, _ in addresses]
    others = [p.partner if p else position for p, position in zip(partners, positions, strict=True)]
    return Batch(
        images_NHWC=torch.from_numpy(images_NHWC),
        labels_N=torch.tensor([dataset.label(position) for position in positions]),
        positions_N=torch.tensor(positions),
        view=addresses[0][1],
        step=step,
        partner_labels_N=torch.tensor([dataset.label(position) for position in others]),
        partner_shares_N=torch.tensor([p.share if p else 0.0 for p in partners], dtype=torch.float32),
    )


def _load(dataset: ViewDataset, plan: Iterator[list[Address]], workers: int) -> Iterator[_Stacked]:
    first = next(plan, None)  # none of those after it is larger
    if first is None:
        return
    # A fork copies locks held by JAX's threads, and can deadlock; the TFLite converter imports JAX.
    start = ("forkserver" if "jax" in sys.modules else get_start_method()) if workers else None
    exchange = Exchange(workers, len(first) * dataset.view_bytes) if start == "fork" else None
    loader = DataLoader(
        dataset,
        batch_sampler=chain([first], plan),
        num_workers=workers,
        collate_fn=partial(_stack, exchange),
        # Its own generator: without one, the loader draws from PyTorch's and so changes what the training draws.
        generator=torch.Generator(),
        multiprocessing_context=start,
        prefetch_factor=PREFETCHED if workers else None,
        worker_init_fn=partial(_begin, os.getpid()),
    )
    for stacked in loader:
        if isinstance(stacked, DataError):
            raise stacked
        pixels, addresses = stacked
        yield exchange.take(pixels) if exchange else pixels, addresses


def _begin(parent: int, _worker: int) -> None:
    """What a worker does first."""
    if os.getppid() == parent:  # the parent of others is a server of Python's, which watches them
        die_with(parent)


def _stack(exchange: Exchange | None, items: list[Item | DataError]) -> _Sent | DataError:
    """Stack items as NumPy arrays; tensors would need `/dev/shm`, which is often too small."""
    good: list[Item] = []
    for item in items:
        if isinstance(item, DataError):
            return item
        good.append(item)
    pixels, addresses = zip(*good, strict=True)
    return exchange.put(list(pixels)) if exchange else np.stack(pixels), list(addresses)
