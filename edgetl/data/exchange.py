"""Batches of pixels from worker processes, through memory that they share with the process that started them.

A pipe copies each batch some seven times, which takes up to a sixth of the time of a view. Forked workers inherit
anonymous memory, and it does not count against `/dev/shm`, which is often small in containers.
"""

import mmap
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import get_worker_info

__all__ = ["PREFETCHED", "Exchange", "Slot"]

PREFETCHED = 2
"""Batches that each worker prepares ahead."""

_SLOTS = PREFETCHED + 1
"""Of a worker: the next one is begun when the oldest is handed out, just before it is copied."""


class Slot(NamedTuple):
    """Where a batch of pixels lies."""

    number: int
    shape: tuple[int, ...]


class Exchange:
    """Memory for the batches of all workers; made before they are forked."""

    def __init__(self, workers: int, batch_bytes: int) -> None:
        self._batch_bytes = batch_bytes
        self._memory = np.frombuffer(mmap.mmap(-1, workers * _SLOTS * batch_bytes), np.uint8)
        self._put = 0

    def put(self, pixels: list[NDArray[np.uint8]]) -> Slot | NDArray[np.uint8]:
        """Stack pixels in the worker's next slot; what does not fit is returned, for the pipe."""
        worker, size_bytes = get_worker_info(), sum(each.nbytes for each in pixels)
        if worker is None or size_bytes > self._batch_bytes:
            return np.stack(pixels)
        slot = Slot(worker.id * _SLOTS + self._put % _SLOTS, (len(pixels), *pixels[0].shape))
        np.stack(pixels, out=self._view(slot))
        self._put += 1
        return slot

    def take(self, put: Slot | NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Copy a batch out, before the next one is asked for."""
        return self._view(put).copy() if isinstance(put, Slot) else put

    def _view(self, slot: Slot) -> NDArray[np.uint8]:
        start = slot.number * self._batch_bytes
        return self._memory[start : start + int(np.prod(slot.shape))].reshape(slot.shape)
