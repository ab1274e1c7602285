"""Record what networks say of a grid of views: every piece is computed once, and a killed recording goes on."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from edgetl.data.dataset import Batch
from edgetl.data.grid import ViewGrid
from edgetl.data.loader import planned_batches
from edgetl.data.store import ArrayStore, Piece
from edgetl.runs.stage import StageContext
from edgetl.train.memory import kept_memory

__all__ = ["PixelRecorder", "Recorder", "pixel_store", "record"]

_AT_ONCE = 16
"""Images that a CPU computes at once: what lies between two layers then stays in its caches.

An EfficientNet-Lite2 at 260 px took 25 ms for each of 16 images, and 31 for each of 64; a MobileNetV2 at 224 px 10 and
14.
"""


class Recorder(Protocol):
    """Computes the numbers of some stores from a batch of images."""

    @property
    def stores(self) -> Sequence[ArrayStore]:
        """What it fills."""

    def numbers(self, batch: Batch) -> dict[str, NDArray[Any]]:
        """A row per image for each store, by the store's name."""

    def release(self) -> None:
        """Give back the memory of a GPU, when all is recorded."""


class PixelRecorder:
    """Keeps the pixels themselves."""

    def __init__(self, store: ArrayStore) -> None:
        self.stores = (store,)

    def numbers(self, batch: Batch) -> dict[str, NDArray[Any]]:
        return {self.stores[0].name: batch.images_NHWC.numpy()}

    def release(self) -> None:
        pass


def pixel_store(grid: ViewGrid, folder: Path) -> ArrayStore:
    """The store of the views' pixels."""
    contract = grid.views.contract
    shape = (grid.rows, len(grid.samples), contract.height, contract.width, 3)
    return ArrayStore(folder, "pixels", shape, "|u1", grid.about())


def record(grid: ViewGrid, recorders: Sequence[Recorder], context: StageContext, *, title: str) -> None:
    """Compute and store what is missing; several processes share the work.

    Args:
        grid: The views and images.
        recorders: What to compute from them.
        context: The stage's context.
        title: Shown with the progress.

    Raises:
        OSError: The disk is full, or fails.
        DataError: An image is gone or has changed.
    """
    processes = context.processes
    every = [store for recorder in recorders for store in recorder.stores]
    finished: list[set[Piece]] = []
    if processes.first:
        for store in every:
            store.prepare()
        finished = [store.finished() for store in every]
    # All processes divide the same list: one that read the logs later would find new pieces there and divide another.
    finished = processes.agree(finished)
    missing = {store: set(grid.pieces()) - there for store, there in zip(every, finished, strict=True)}
    pieces = sorted(set().union(*missing.values()))
    total = sum(stop - start for _, start, stop in grid.pieces())
    with context.reporter.track(title, total) as advance, kept_memory():
        advance(total - sum(stop - start for _, start, stop in pieces), "")
        for piece, batch, found in _computed(grid, recorders, missing, pieces, context):
            for store, numbers in found.items():
                store.write(piece, numbers, processes.rank)
            advance(len(batch.labels_N) * processes.count, f"view {piece[0] + 1} of {grid.rows}")
    for recorder in recorders:
        recorder.release()
    processes.wait()


def _computed(
    grid: ViewGrid,
    recorders: Sequence[Recorder],
    missing: dict[ArrayStore, set[Piece]],
    pieces: Sequence[Piece],
    context: StageContext,
) -> Iterator[tuple[Piece, Batch, dict[ArrayStore, NDArray[Any]]]]:
    """Yield this process's pieces with their images and their missing numbers."""
    mine = pieces[context.processes.rank :: context.processes.count]
    plan = [(grid.view_of(row), start, stop) for row, start, stop in mine]
    batches = planned_batches(grid.index, grid.samples, grid.views, plan, workers=context.recipe.data.workers)
    for piece, batch in zip(mine, batches, strict=True):
        found: dict[ArrayStore, NDArray[Any]] = {}
        for recorder in recorders:
            wanted = [store for store in recorder.stores if piece in missing[store]]
            if wanted:
                with context.reporter.library("network inference"):
                    numbers = _numbers(recorder, batch)
                found |= {store: numbers[store.name] for store in wanted}
        yield piece, batch, found


def _numbers(recorder: Recorder, batch: Batch) -> dict[str, NDArray[Any]]:
    """What a recorder says of a batch; on a CPU of a few images at a time."""
    images, most = len(batch.labels_N), len(batch.labels_N) if torch.cuda.is_available() else _AT_ONCE
    parts = [recorder.numbers(batch.part(start, min(start + most, images))) for start in range(0, images, most)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
