"""The most that fits a time: strategy, views and epochs, and the time's division among networks that share it.

What can be done is a list from the least to the most; the last entry that fits is taken. So more time never plans less.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgetl.train.costs import Costs, Size, Work, bill
from edgetl.train.transfer import most_views

__all__ = ["MOST_TUNING", "Job", "Plan", "divided", "plan_for", "share_of", "sizes_of"]

MOST_TUNING = 16
"""Views and epochs up to which a longer training from a fitted head is planned; twice the defaults."""

_LEAST_TUNING = 4
"""Epochs below which 'auto' fits a better head instead, unless there are very many images."""

_ENOUGH_VISITS = 2000
"""Images, each counted once an epoch, that are enough for fewer epochs than that."""

_HEAD_VIEWS = (1, 2, 3, 4, 6, 8, 12, 16)
_LEAST_GRADUAL = 3
"""One epoch of each phase."""

_MOST_EPOCHS, _STEP = 300, 1.12
"""Of a training in full: epochs grow by 12 % from one size to the next."""


@dataclass(frozen=True)
class Job:
    """A network that is to be trained."""

    work: Work
    costs: Costs
    standard: Size
    """What would be done without a time."""

    def seconds(self, size: Size) -> float:
        """The most that it can take."""
        return sum(bill(self.work, self.costs, size).values())

    @property
    def least_s(self) -> float:
        """Seconds of the least that can be done."""
        return min(map(self.seconds, sizes_of(self.work)))


@dataclass(frozen=True)
class Plan:
    """What is done in a time, and what more time would buy."""

    size: Size
    seconds: float
    """The most that it can take."""

    further: Size | None
    """What twice the time would buy, or the next larger size if that takes longer; None if there is none."""

    further_s: float = 0.0


def sizes_of(work: Work) -> tuple[Size, ...]:
    """What can be done with a strategy, from the least to the most."""
    strategy, most = work.strategy, most_views(work.learned + work.judged, MOST_TUNING)
    heads = tuple(Size("features", views, 0) for views in _HEAD_VIEWS if views <= most)
    if strategy == "features":
        return heads
    if strategy == "full":
        return tuple(Size("full", 0, epochs) for epochs in _full_epochs())
    least = {"auto": _least_epochs(work.learned), "gradual": _LEAST_GRADUAL}.get(strategy, 1)
    tuned = tuple(Size(strategy, min(epochs, most), epochs) for epochs in range(least, MOST_TUNING + 1))
    return (*(heads if strategy == "auto" else ()), *tuned)


def plan_for(job: Job, time_s: float) -> Plan | None:
    """The most that fits a time; None if nothing does."""
    sizes = sizes_of(job.work)
    place = _last_within(job, sizes, time_s)
    if place is None:
        return None
    further = _last_within(job, sizes, 2 * time_s)
    assert further is not None
    above = sizes[place + 1 :]
    wanted = sizes[further] if further > place else min(above, key=job.seconds, default=None)
    return Plan(sizes[place], job.seconds(sizes[place]), wanted, job.seconds(wanted) if wanted else 0.0)


def divided(time_s: float, own: Job, others: Sequence[Job]) -> float:
    """Seconds of a time for one network, the others being trained after it.

    Each gets its part of what all would take without a time, but no less than the least that it can do.
    """
    rest_s = sum(job.least_s for job in others)
    return max(own.least_s, min(time_s * share_of(own, others), time_s - rest_s)) if others else time_s


def share_of(own: Job, others: Sequence[Job]) -> float:
    """A network's part of what all would take without a time, as a fraction of 1."""
    every_s = [job.seconds(job.standard) for job in (own, *others)]
    return every_s[0] / sum(every_s) if sum(every_s) else 1.0


def _last_within(job: Job, sizes: Sequence[Size], time_s: float) -> int | None:
    return max((place for place, size in enumerate(sizes) if job.seconds(size) <= time_s), default=None)


def _least_epochs(images: int) -> int:
    return min(_LEAST_TUNING, max(1, math.ceil(_ENOUGH_VISITS / images)))


def _full_epochs() -> list[int]:
    found = [1]
    while found[-1] < _MOST_EPOCHS:
        found.append(min(_MOST_EPOCHS, max(found[-1] + 1, math.floor(found[-1] * _STEP))))
    return found
