"""What a log shows of a long piece of work: how long it takes, before the first silence."""

import pytest

from edgetl.cli import terminal
from edgetl.cli.terminal import TerminalReporter


@pytest.fixture
def log(monkeypatch, capfd):
    """Advance a track through `(steps, seconds)` on a clock of our own; returns what the log shows."""

    def run(pace, total, *, even=False):
        now = [100.0]
        monkeypatch.setenv("CI", "1")
        monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
        reporter = TerminalReporter()
        with reporter.track("Work", total, even=even) as advance:
            for steps, seconds in pace:
                now[0] += seconds
                advance(steps, "")
        reporter.close()
        return capfd.readouterr().err.splitlines()

    return run


def test_even_steps_tell_the_time_of_all_once(log):
    assert log([(1, 4.0), (1, 2.0), (1, 2.0), (1, 2.0)], 10, even=True) == ["Expected time: 22 s."]


def test_what_was_made_before_counts_for_nothing(log):
    assert log([(80, 0.0), (1, 3.0)], 100, even=True) == ["Expected time: 60 s."]


def test_a_short_work_is_not_foretold(log):
    assert log([(1, 1.0), (1, 1.5), (1, 1.0)], 4, even=True) == []


def test_steps_of_any_length_show_where_they_are_and_what_is_left(log):
    assert log([(1, 6.0), (1, 6.0), (1, 11.0)], 4) == [
        "Work: 2 of 4, about 12 s left",
        "Work: 3 of 4, about 8 s left",
    ]


def test_a_single_step_says_nothing_of_the_rest(log):
    assert log([(1, 11.0)], 3, even=True) == ["Work: 1 of 3"]
