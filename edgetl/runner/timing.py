"""The timing loop: one call at a time, raw seconds out, no statistics."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from .guard import within

__all__ = ["time_calls"]


def time_calls(
    call: Callable[[int], object],
    *,
    warmup_runs: int,
    min_samples: int,
    min_seconds: float,
    clock: Callable[[], float],
) -> list[float]:
    """Time single calls until there are enough of them and they took long enough.

    Args:
        call: What to time; it gets a number that grows by one with each call, warm-up included.
        warmup_runs: Calls before the first timed one.
        min_samples: Fewest timed calls.
        min_seconds: Shortest sum of the times.
        clock: Seconds, from any zero.

    Returns:
        Seconds of each timed call, in order.
    """
    turns = count()
    with within(warmup_runs):
        for _ in range(warmup_runs):
            call(next(turns))
    times_s: list[float] = []
    total_s = 0.0
    while len(times_s) < min_samples or total_s < min_seconds:
        turn = next(turns)
        start = clock()
        call(turn)
        times_s.append(clock() - start)
        total_s += times_s[-1]
    return times_s
