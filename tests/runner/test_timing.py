"""The timing loop, exact because the clock is an argument."""

import itertools

import pytest

from edgetl.runner.timing import time_calls


class Clock:
    """Each reading is `step_s` later than the one before."""

    def __init__(self, step_s):
        self._readings = itertools.count(step=step_s)

    def __call__(self):
        return next(self._readings)


def time_it(calls, *, warmup_runs=0, min_samples=1, min_seconds=0.0, step_s=0.5):
    limits = {"warmup_runs": warmup_runs, "min_samples": min_samples, "min_seconds": min_seconds}
    return time_calls(calls.append, **limits, clock=Clock(step_s))


def test_warmup_runs_are_not_timed():
    calls = []
    assert time_it(calls, warmup_runs=3, min_samples=5) == [0.5] * 5
    assert calls == list(range(8))


def test_it_goes_on_until_the_times_sum_up():
    assert time_it([], min_samples=4, min_seconds=3.0) == [0.5] * 6
    assert time_it([], min_samples=4, min_seconds=2.0) == [0.5] * 4


def test_only_the_call_is_between_the_readings_of_the_clock():
    events = []
    clock = Clock(1.0)

    def read():
        events.append("clock")
        return clock()

    time_calls(lambda _turn: events.append("call"), warmup_runs=1, min_samples=2, min_seconds=0.0, clock=read)
    assert events == ["call", *["clock", "call", "clock"] * 2]


def test_a_failing_call_is_not_hidden():
    def fail(_turn):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        time_calls(fail, warmup_runs=0, min_samples=1, min_seconds=0.0, clock=Clock(1.0))
