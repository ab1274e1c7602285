"""Whether a network is any good: only where the images can tell, and beside what costs nothing."""

from dataclasses import replace

import numpy as np
import pytest

from edgetl.verify.worth import Judged, worth_of


def images(counts, right_of_class, *, probe_right=None, validated=None):
    """So many images of each class, of which so many are right; what is wrong is named the next class."""
    labels = np.repeat(np.arange(len(counts)), counts)
    right = np.concatenate([np.arange(n) < r for n, r in zip(counts, right_of_class, strict=True)])
    answers = np.where(right, labels, (labels + 1) % len(counts))
    names = tuple(f"class {k}" for k in range(len(counts)))
    probe = None if probe_right is None else np.arange(len(labels)) < probe_right
    given = tuple(validated or [5] * len(counts))
    return Judged(labels, names, answers, probe, tuple(10 * n for n in counts), given)


def test_half_right_on_six_images_of_two_classes_is_nothing_to_go_by():
    found = worth_of(images([3, 3], [2, 1]))
    assert found.word == "CANNOT TELL"
    assert "6 test images cannot tell much: of all such images it may be right about 18.8 to 81.2%" in found.warnings[0]


def test_less_than_the_commonest_class_is_no_better_than_guessing():
    found = worth_of(images([992, 8], [987, 2]))
    assert found.top1 == pytest.approx(0.989)
    assert found.commonest_top1 == pytest.approx(0.992)
    assert found.word == "BETTER THAN GUESSING"  # it does find two of eight, which no constant answer does
    assert found.balanced_top1 == pytest.approx((987 / 992 + 2 / 8) / 2)
    blind = worth_of(images([992, 8], [989, 0]))
    assert blind.word == "NO BETTER THAN GUESSING"
    assert "always naming 'class 0': 99.2%" in blind.sentence


def test_clearly_more_than_the_commonest_class():
    found = worth_of(images([100, 100], [90, 80]))
    assert found.word == "BETTER THAN GUESSING"
    assert found.warnings == ()
    assert found.sentence == "Right about 85.0% of 200 test images (79.4 to 89.3%); always naming 'class 0': 50.0%."


def test_worse_than_the_probe_by_more_than_luck():
    found = worth_of(images([100, 100], [90, 70], probe_right=190))
    assert found.word == "WORSE THAN A LINEAR PROBE"
    assert "logistic regression on its pretrained features: 95.0%, a difference of -15.0 points" in found.sentence


def test_as_good_as_the_probe():
    assert worth_of(images([100, 100], [90, 80], probe_right=172)).word == "BETTER THAN GUESSING"


def test_a_network_that_is_its_own_probe_is_not_compared_with_itself():
    found = worth_of(replace(images([100, 100], [90, 80], probe_right=170), is_probe=True))
    assert found.gain_on_probe is None
    assert found.sentence.endswith("; it is a linear head on pretrained features itself.")


def test_classes_with_few_test_images_or_no_validation_image_are_named():
    found = worth_of(images([100, 4, 3], [99, 4, 3], validated=[5, 0, 5]))
    few, lacking = found.warnings
    assert "Fewer than 5 test images: classes 'class 1' and 1 more" in few
    assert "No validation image: class 'class 1'." in lacking
