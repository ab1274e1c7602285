"""Numbers as people say them."""

import pytest

from edgetl.runs.words import accuracy, accuracy_range


@pytest.mark.parametrize(
    ("top1", "images", "said"),
    [
        (144 / 153, 153, "94.1% (89.2 to 96.9%)"),
        (1.0, 36, "100.0% (90.4 to 100.0%)"),
        (0.0, 36, "0.0% (0.0 to 9.6%)"),
        (0.9412, 2000, "94.1%"),
        (0.9412, 0, "94.1%"),
    ],
)
def test_an_accuracy_on_few_images_is_said_with_its_interval(top1, images, said):
    assert accuracy(top1, images) == said


def test_the_interval_can_stand_in_a_column_of_its_own():
    assert accuracy_range(144 / 153, 153) == "89.2 to 96.9%"
    assert accuracy_range(0.9412, 2000) == ""
