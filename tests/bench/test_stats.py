"""Percentiles and the interval of the median."""

import numpy as np
import pytest

from edgetl.bench.stats import _bootstrap_medians, summarize


def test_percentiles_are_in_milliseconds():
    latency = summarize(np.arange(1, 101) / 1000)
    assert (latency.p50_ms, latency.p90_ms, latency.p99_ms) == pytest.approx((50.5, 90.1, 99.01))
    assert latency.runs == 100


def test_the_order_of_the_times_does_not_matter():
    times_s = np.random.default_rng(1).lognormal(size=200)
    assert summarize(times_s) == summarize(np.sort(times_s)[::-1])


def test_a_report_can_be_made_twice():
    times_s = np.random.default_rng(1).lognormal(size=200)
    assert summarize(times_s, seed=3) == summarize(times_s, seed=3)
    assert summarize(times_s, seed=3) != summarize(times_s, seed=4)


@pytest.mark.parametrize("runs", [64, 65, 300, 301])
def test_the_interval_is_that_of_a_bootstrap_by_drawing(runs):
    times_ms = np.sort(np.random.default_rng(runs).lognormal(size=runs))
    rng = np.random.default_rng(0)
    drawn = np.median(times_ms[rng.integers(0, runs, size=(40_000, runs))], axis=1)
    medians = _bootstrap_medians(times_ms, np.random.default_rng(1), 40_000)
    spread = drawn.std()
    for percent in (2.5, 25, 50, 75, 97.5):
        assert np.percentile(medians, percent) == pytest.approx(np.percentile(drawn, percent), abs=0.05 * spread)
    assert medians.std() == pytest.approx(spread, rel=0.02)


def test_the_interval_covers_the_true_median_as_often_as_it_says():
    rng = np.random.default_rng(0)
    intervals = [summarize(rng.lognormal(size=100), resamples=400) for _ in range(400)]
    covered = np.mean([each.p50_low_ms <= 1000 <= each.p50_high_ms for each in intervals])
    assert 0.91 < covered < 0.98


def test_a_long_series_needs_no_memory_for_its_bootstrap():
    assert summarize(np.random.default_rng(0).lognormal(size=2_000_000)).runs == 2_000_000


def test_equal_times_have_an_interval_of_no_width():
    latency = summarize(np.full(64, 0.002))
    assert latency.p50_low_ms == latency.p50_high_ms == latency.p99_ms == pytest.approx(2.0)


def test_too_few_runs_are_refused():
    with pytest.raises(ValueError, match="need at least 64 timed runs, got 63"):
        summarize(np.ones(63))
