"""Which widths are measured, and which one stays; latencies are given, so that all of it is exact."""

import pytest

from edgetl.prune.search import MOST_CANDIDATES, Candidate, choose, search
from edgetl.prune.timing import Speedup


def candidate(kept, ratio):
    return Candidate(kept, 1000, 10_000, Speedup(ratio, 1.0, ratio, ratio, ratio), val_top1=0.1)


def searched(wish, latency_of):
    asked = []

    def measure(kept):
        asked.append(kept)
        return candidate(kept, latency_of(kept))

    return search(wish, 1 / 8, measure), asked


def test_the_search_closes_in_on_the_mildest_that_is_fast_enough():
    found, asked = searched(0.6, lambda kept: kept)
    assert asked[:2] == [0.5625, 0.78125]
    best = choose(found, 0.6)
    assert best.reached
    assert 0.57 <= best.candidate.kept <= 0.6


def test_the_search_ends_when_it_is_close():
    found, _ = searched(0.58, lambda kept: kept)
    assert [each.kept for each in found] == [0.5625]


@pytest.mark.parametrize("ratio", [0.1, 1.2])
def test_it_measures_a_handful_and_nothing_below_what_is_sane(ratio):
    found, asked = searched(0.5, lambda _: ratio)
    assert len(found) == MOST_CANDIDATES
    assert all(1 / 8 < kept < 1 for kept in asked)


def test_of_those_that_are_fast_enough_the_mildest_stays():
    choice = choose([candidate(0.3, 0.4), candidate(0.5, 0.55), candidate(0.7, 0.8)], 0.6)
    assert (choice.candidate.kept, choice.reached) == (0.5, True)
    assert choice.why == "the mildest that takes at most 0.6 of the time"


def test_what_cannot_be_reached_leaves_the_mildest_of_the_fastest():
    choice = choose([candidate(0.15, 0.7), candidate(0.2, 0.71), candidate(0.4, 0.8)], 0.5)
    assert (choice.candidate.kept, choice.reached) == (0.2, False)
    assert "0.5 of the time cannot be reached" in choice.why


@pytest.mark.parametrize("ratio", [0.97, 0.99, 1.3])
def test_pruning_is_dropped_if_nothing_is_faster(ratio):
    choice = choose([candidate(0.2, ratio), candidate(0.5, ratio + 0.1)], 0.99)
    assert choice.candidate is None
    assert not choice.reached
    assert choice.why.startswith("no width is faster than the unpruned student here")


def test_a_wish_within_the_noise_still_needs_a_gain():
    choice = choose([candidate(0.9, 0.975), candidate(0.8, 0.96)], 0.99)
    assert choice.candidate.kept == 0.8
