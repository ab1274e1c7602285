"""Find the mildest pruning that is fast enough, by measuring a few candidates."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from edgetl.prune.timing import Speedup

__all__ = ["MOST_CANDIDATES", "NOT_FASTER", "Candidate", "Choice", "choose", "search"]

NOT_FASTER = 0.97
"""A network counts as faster only if its latency ratio is lower: two files of one network can differ by as much."""

MOST_CANDIDATES = 5
_CLOSE = 0.03
_SAME = 0.02


@dataclass(frozen=True)
class Candidate:
    """A pruned network that keeps a fraction of the channels, and what was measured of it."""

    kept: float
    """Fraction of the channels of each layer that stays."""

    parameters: int
    multiply_adds: int
    """For one image."""

    latency: Speedup
    val_top1: float
    """Right after pruning, before training continues; as a fraction of 1."""

    def to_dict(self) -> dict[str, Any]:
        """As plain data, all on one level."""
        plain = asdict(self)
        latency = plain.pop("latency")
        return {**plain, **latency}


@dataclass(frozen=True)
class Choice:
    """Which candidate stays, if any does, and why."""

    candidate: Candidate | None
    """None if pruning is dropped."""

    reached: bool
    """Whether it is as fast as asked for."""

    why: str


def search(wish: float, least: float, measure: Callable[[float], Candidate]) -> list[Candidate]:
    """Measure up to five candidates by bisection: each lies in the middle of the range that is still open.

    Args:
        wish: Latency to reach, as a fraction of the unpruned network's.
        least: Smallest fraction of the channels that may stay.
        measure: Prunes to a fraction of the channels and measures the pruned network.

    Returns:
        The candidates, in the order in which they were measured.
    """
    wish = min(wish, NOT_FASTER)
    low, high = least, 1.0
    found: list[Candidate] = []
    for _ in range(MOST_CANDIDATES):
        middle = (low + high) / 2
        found.append(measure(middle))
        ratio = found[-1].latency.latency_ratio
        if wish - _CLOSE <= ratio <= wish:
            break
        low, high = (middle, high) if ratio <= wish else (low, middle)
    return found


def choose(candidates: list[Candidate], wish: float) -> Choice:
    """Choose the mildest candidate that is fast enough, else the mildest of the fastest, or none if none is faster.

    Args:
        candidates: At least one.
        wish: Latency to reach, as a fraction of the unpruned network's.
    """
    ratios = {each.kept: each.latency.latency_ratio for each in candidates}
    least = min(ratios.values())
    if least >= NOT_FASTER:
        return Choice(
            None, False, f"no width is faster than the unpruned student here ({least:.2f} of its time at best)"
        )
    limit = min(wish, NOT_FASTER)
    if reached := [each for each in candidates if ratios[each.kept] <= limit]:
        best = max(reached, key=lambda each: each.kept)
        return Choice(best, True, f"the mildest that takes at most {wish:g} of the time")
    best = max((each for each in candidates if ratios[each.kept] <= least + _SAME), key=lambda each: each.kept)
    why = f"{wish:g} of the time cannot be reached with a sane number of channels; no other width is faster"
    return Choice(best, False, why)
