"""Whether the calibration images decide the result."""

import pytest

from edgetl.quantize.judge import Score
from edgetl.quantize.spread import Spread


def spread(*right, images=100):
    """Three plans with so many right answers each."""
    return Spread(20, images, tuple(Score(each / images, 0.0, 0.0, 0.0, 0.0, 0.0, images) for each in right))


@pytest.mark.parametrize(
    ("right", "max_drop", "decides"),
    [
        ((90, 90, 90), 0.0, False),
        ((90, 92, 91), 0.0, False),  # two images
        ((90, 93, 91), 0.0, True),
        ((90, 93, 91), 0.05, False),
        ((90, 97, 91), 0.05, True),
    ],
)
def test_more_than_is_allowed_and_more_than_chance(right, max_drop, decides):
    assert spread(*right).decides(max_drop) == decides


def test_it_is_the_largest_difference():
    assert spread(90, 97, 91).top1 == pytest.approx(0.07)
    assert spread(90, 97, 91).to_dict()["top1_spread"] == pytest.approx(0.07)
