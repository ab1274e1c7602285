"""The interval of an accuracy."""

import pytest

from edgetl.runs.intervals import FEW_IMAGES, accuracy_interval, wilson


@pytest.mark.parametrize(
    ("right", "total"), [(0, 1), (1, 1), (30, 36), (34, 36), (144, 153), (0, 40), (40, 40), (1, 9999)]
)
def test_it_is_wilsons(right, total):
    from scipy.stats import binomtest

    expected = binomtest(right, total).proportion_ci(0.95, method="wilson")
    assert wilson(right, total) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_36_images_cannot_tell_83_from_94_percent():
    (low, high), (other_low, other_high) = wilson(30, 36), wilson(34, 36)
    assert low < other_low < high < other_high


@pytest.mark.parametrize("total", [1, 7, 1999])
def test_none_right_and_all_right_are_inside_their_intervals(total):
    assert wilson(0, total)[0] == 0
    assert wilson(total, total)[1] == 1
    assert wilson(0, total)[1] == pytest.approx(1 - wilson(total, total)[0])
    assert 0 < wilson(0, total)[1] < 1


@pytest.mark.parametrize(("right", "total"), [(0, 0), (3, 2), (-1, 2)])
def test_what_is_no_fraction_is_refused(right, total):
    with pytest.raises(ValueError, match=f"no fraction: {right} of {total}"):
        wilson(right, total)


def test_an_accuracy_has_an_interval_where_its_images_are_few_and_known():
    assert accuracy_interval(34 / 36, 36) == wilson(34, 36)
    assert accuracy_interval(0.9, FEW_IMAGES - 1) == wilson(round(0.9 * 1999), 1999)
    assert accuracy_interval(0.9, FEW_IMAGES) is None
    assert accuracy_interval(0.9, 0) is None
    assert accuracy_interval(0.9, float("nan")) is None


def test_no_interval_that_is_left_out_reaches_further_than_stated():
    reaches = [
        max(right / FEW_IMAGES - wilson(right, FEW_IMAGES)[0], wilson(right, FEW_IMAGES)[1] - right / FEW_IMAGES)
        for right in (1000, 1900)
    ]
    assert reaches[0] < 0.022
    assert reaches[1] < 0.011
