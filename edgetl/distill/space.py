"""How much disk space the teacher's answers and the stored views need, checked before they are written."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from edgetl.data.dataset import TINY_SIDE
from edgetl.data.grid import ViewGrid
from edgetl.data.store import ArrayStore
from edgetl.distill.answers import AnswerStores
from edgetl.errors import EnvironmentFault
from edgetl.runs.disk import existing_part, free_bytes
from edgetl.runs.reporter import Reporter
from edgetl.runs.stage import StageContext
from edgetl.train.recording import pixel_store

__all__ = ["check_space", "wants_pixels"]

_LARGEST_PART = 0.2
"""Largest fraction of the free space that pixels may take without being asked for."""

_SPARE_BYTES = 1 << 20
"""Space that must stay free beside a store, for its logs and the manifest."""


def wants_pixels(grid: ViewGrid, folder: Path, context: StageContext) -> bool:
    """Whether views are stored: 'auto' stores them if they repeat, are slow to decode, and fit on the disk."""
    asked = context.recipe.distill.keep_pixels
    if asked != "auto":
        return asked == "always"
    comes_again = context.recipe.student.epochs > grid.view_count
    if not comes_again or grid.index.median_side <= TINY_SIDE:
        return False
    store = pixel_store(grid, folder)
    fits = store.new_bytes <= _LARGEST_PART * free_bytes(folder)
    if not fits and context.processes.first:
        context.reporter.say(
            f"Views are decoded again in each epoch: storing them needs {_size(store.new_bytes)}, which is more than"
            f" a fifth of the free {_size(free_bytes(folder))}."
        )
    return bool(context.processes.agree(fits))


def check_space(
    stores: Sequence[AnswerStores], pixels: ArrayStore | None, grid: ViewGrid, epochs: int, reporter: Reporter
) -> None:
    """Report what will be written and where, and check that it fits on the disk.

    Raises:
        EnvironmentFault: It does not fit.
    """
    count, images = grid.view_count, len(grid.samples)
    cycle = f"epoch e shows view e modulo {count}" if count < epochs else "a new one in each epoch"
    reporter.say(f"Views: {count} of each of {images:,} images; {cycle}.")
    answers = [store for each in stores for store in each.all]
    planned: Counter[int] = Counter()
    for what, group in (("Teacher's answers", answers), ("Stored views", [pixels] if pixels else [])):
        for store in group:
            reporter.say(f"{what} ({store.name}): {_size(store.size_bytes)} in {store.folder}{_there(store)}.")
            _check(what, store, planned, count)


def _there(store: ArrayStore) -> str:
    there = store.size_bytes - store.new_bytes
    return ", there already" if not store.new_bytes else f", {_size(there)} of it there already" if there else ""


def _check(what: str, store: ArrayStore, planned: Counter[int], views: int) -> None:
    """Check that a store fits, together with what is already planned on the same disk."""
    place = existing_part(store.folder)
    disk = place.stat().st_dev
    free = free_bytes(place) - planned[disk]
    if store.new_bytes and store.new_bytes + _SPARE_BYTES > free:
        raise EnvironmentFault(
            f"{store.folder}: {what.lower()} need {_size(store.new_bytes)}, and {_size(max(0, free))} are free. Free"
            f" some space, lower distill.teacher_views ({views}), or set {_cure(store)}"
        )
    planned[disk] += store.new_bytes


def _cure(store: ArrayStore) -> str:
    return "distill.keep_pixels=never" if store.name == "pixels" else "distill.cache to a folder on another disk"


def _size(size_bytes: int) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= scale:
            return f"{size_bytes / scale:.1f} {unit}"
    return f"{size_bytes} B"
