"""Times of two networks that are taken in turns, as often as it takes."""

from itertools import chain, repeat

import numpy as np
import pytest

from edgetl.prune.timing import take_turns


@pytest.mark.parametrize(
    ("ratios", "turns", "median"),
    [
        ([0.60, 0.61, 0.60], 3, 0.60),
        ([0.60, 1.53, 1.60, 0.61, 0.60], 5, 0.61),  # another program ran meanwhile, and was over
        ([0.1, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 9, 4.0),  # nothing agrees: it ends all the same
    ],
)
def test_turns_are_taken_until_most_agree(ratios, turns, median):
    each = chain(((ratio, 1.0) for ratio in ratios), repeat((99.0, 1.0)))
    times_T2 = take_turns(lambda: next(each))
    assert times_T2.shape == (turns, 2)
    assert np.median(times_T2[:, 0] / times_T2[:, 1]) == median
