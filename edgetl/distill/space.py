"""How much the teacher's answers and the stored views take on the disk, said before they are written."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from edgetl.data.dataset import TINY_SIDE
from edgetl.distill.answers import AnswerStores, Question, pixel_store
from edgetl.distill.store import ArrayStore
from edgetl.errors import EnvironmentFault
from edgetl.runs.disk import existing_part, free_bytes
from edgetl.runs.reporter import Reporter
from edgetl.runs.stage import StageContext

__all__ = ["check_space", "wants_pixels"]

_LARGEST_PART = 0.2
_SPARE_BYTES = 1 << 20


def wants_pixels(question: Question, folder: Path, context: StageContext) -> bool:
    """Tell whether the views are to be stored: 'auto' does it if they come again, are dear to decode, and fit."""
    asked = context.recipe.distill.keep_pixels
    if asked != "auto":
        return asked == "always"
    comes_again = context.recipe.student.epochs > question.view_count
    if not comes_again or question.index.median_side <= TINY_SIDE:
        return False
    store = pixel_store(question, folder)
    fits = store.new_bytes <= _LARGEST_PART * free_bytes(folder)
    if not fits and context.processes.first:
        context.reporter.say(
            f"Views are decoded again in each epoch: to store them would take {_size(store.new_bytes)}, more than"
            f" a fifth of the free {_size(free_bytes(folder))}."
        )
    return bool(context.processes.agree(fits))


def check_space(
    stores: Sequence[AnswerStores], pixels: ArrayStore | None, question: Question, epochs: int, reporter: Reporter
) -> None:
    """Say what will be written and where, and make sure that it fits.

    Raises:
        EnvironmentFault: It does not.
    """
    count, images = question.view_count, len(question.samples)
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
    """Make sure that a store fits beside what is planned on the same disk already."""
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
