"""Splits by content."""

import hashlib
from collections import Counter

import pytest

from edgetl.data.split import assign_splits


def hashes(count: int, start: int = 0) -> list[str]:
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(start, start + count)]


def assign(found: list[str], seed: int = 0, val: float = 0.15, test: float = 0.15) -> dict[str, str]:
    return assign_splits(found, seed=seed, val_fraction=val, test_fraction=test)


@pytest.mark.parametrize(
    ("count", "val", "test", "expected"),
    [
        (100, 0.15, 0.15, (70, 15, 15)),
        (3, 0.15, 0.15, (1, 1, 1)),
        (4, 0.49, 0.49, (1, 2, 1)),
        (10, 0.49, 0.49, (1, 5, 4)),
        (10, 0.0, 0.15, (8, 0, 2)),
        (2, 0.15, 0.0, (1, 1, 0)),
        (1, 0.0, 0.0, (1, 0, 0)),
    ],
)
def test_splits_have_their_rounded_shares_and_train_is_never_empty(count, val, test, expected):
    counts = Counter(assign(hashes(count), val=val, test=test).values())
    assert (counts["train"], counts["val"], counts["test"]) == expected


def test_order_and_copies_of_the_input_do_not_matter():
    found = hashes(30)
    assert assign(found) == assign(list(reversed(found)) + found)


def test_the_seed_decides():
    assert assign(hashes(30), seed=1) == assign(hashes(30), seed=1) != assign(hashes(30), seed=2)


@pytest.mark.parametrize("seed", range(10))
def test_an_added_image_moves_at_most_one_other_at_each_border(seed):
    before, after = assign(hashes(50), seed), assign(hashes(51), seed)
    assert sum(before[sha256] != after[sha256] for sha256 in before) <= 2


def test_too_few_images_are_refused():
    with pytest.raises(ValueError, match="2 distinct images for 3 splits"):
        assign(hashes(2) * 5)
