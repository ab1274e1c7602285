"""Statistics of inference times."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["MIN_RUNS", "Latency", "summarize"]

MIN_RUNS = 64
"""Fewest runs to describe; with fewer, a handful of runs decides the 90th percentile."""


@dataclass(frozen=True)
class Latency:
    """A series of single-inference times."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    """Close to the maximum if there are fewer than a few hundred runs."""

    p50_low_ms: float
    """Lower end of the 95 % interval of the median."""

    p50_high_ms: float
    """Upper end of the 95 % interval of the median."""

    runs: int


def summarize(times_s: NDArray[np.float64], *, seed: int = 0, resamples: int = 1000) -> Latency:
    """Describe a series of single-inference times.

    The interval is a 95 % bootstrap of the median: latency is skewed, and a mean with a standard deviation would
    describe a bell curve that is not there. It covers the noise within this process, not the differences between
    processes.

    Args:
        times_s: `(R,)` seconds, one per timed inference, warm-up already removed.
        seed: Seeds the bootstrap, so that a report can be reproduced.
        resamples: Bootstrap samples drawn.

    Returns:
        Percentiles and the interval, in milliseconds.

    Raises:
        ValueError: Fewer than 64 runs; single runs would decide the percentiles.
    """
    if times_s.size < MIN_RUNS:
        raise ValueError(f"need at least {MIN_RUNS} timed runs, got {times_s.size}")
    times_ms = np.sort(times_s) * 1e3
    low, high = np.percentile(_bootstrap_medians(times_ms, np.random.default_rng(seed), resamples), [2.5, 97.5])
    p50, p90, p99 = np.percentile(times_ms, [50, 90, 99])
    return Latency(
        p50_ms=float(p50),
        p90_ms=float(p90),
        p99_ms=float(p99),
        p50_low_ms=float(low),
        p50_high_ms=float(high),
        runs=int(times_ms.size),
    )


def _bootstrap_medians(times_ms: NDArray[np.float64], rng: np.random.Generator, resamples: int) -> NDArray[np.float64]:
    """Medians of `resamples` draws with replacement from sorted times, `(resamples,)`.

    A fast model gives 100,000 times, and drawing all of them 1000 times would need gigabytes. A draw is a uniform
    number that picks a place in the sorted times, so the draw's k-th smallest comes from the k-th smallest of R uniform
    numbers, which has a Beta distribution. So two random numbers per resample give the same distribution.
    """
    runs = times_ms.size
    lower = (runs + 1) // 2
    u_lower = rng.beta(lower, runs + 1 - lower, size=resamples)
    # Given the lower middle number, the next is the smallest of the `runs - lower` numbers above it.
    u_upper = u_lower + (1 - u_lower) * rng.beta(1, runs - lower, size=resamples)
    picks_lower = np.minimum((u_lower * runs).astype(np.int64), runs - 1)
    if runs % 2:
        odd_medians: NDArray[np.float64] = times_ms[picks_lower]
        return odd_medians
    picks_upper = np.minimum((u_upper * runs).astype(np.int64), runs - 1)
    medians: NDArray[np.float64] = (times_ms[picks_lower] + times_ms[picks_upper]) / 2
    return medians
