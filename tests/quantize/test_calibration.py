"""Which images set the activation ranges."""

from collections import Counter
from pathlib import Path

import pytest

from edgetl.data.index import ImageIndex, Sample
from edgetl.quantize.calibration import affordable_count, balanced_samples


def index_of(train, *, other=20):
    """An index with `train[label]` training images per class, and images of the other splits."""
    samples = [
        Sample(f"{split}/{label}/{number:03}.png", label, split, f"{split}-{label}-{number}")
        for label, count in enumerate(train)
        for split, images in (("test", other), ("train", count), ("val", other))
        for number in range(images)
    ]
    return ImageIndex(Path("/data"), tuple(f"class {label}" for label in range(len(train))), tuple(samples), {}, 8)


def chosen(train, count, seed=0):
    return balanced_samples(index_of(train).split("train"), count, seed=seed)


@pytest.mark.parametrize("count", [1, 32, 200, 4096])
def test_only_training_images_calibrate(count):
    assert {sample.split for sample in chosen([50, 50, 50], count)} == {"train"}


@pytest.mark.parametrize(
    ("train", "count", "expected"),
    [
        ([50, 50, 50], 30, [10, 10, 10]),
        ([50, 50, 50], 32, [11, 11, 10]),
        ([5, 50, 50], 35, [5, 15, 15]),
        ([1000, 3], 32, [29, 3]),
        ([5, 4], 32, [5, 4]),
        ([9] * 40, 32, [1] * 32 + [0] * 8),
        ([0, 9], 4, [0, 4]),
    ],
)
def test_classes_are_balanced_as_far_as_their_images_go(train, count, expected):
    labels = Counter(sample.label for sample in chosen(train, count))
    assert [labels[label] for label in range(len(train))] == expected


def test_no_image_comes_twice_nor_does_its_copy():
    index = index_of([20, 20])
    copies = tuple(Sample(f"copy {s.path}", s.label, s.split, s.sha256) for s in index.samples)
    doubled = ImageIndex(index.root, index.labels, index.samples + copies, {}, 8)
    hashes = [sample.sha256 for sample in balanced_samples(doubled.split("train"), 100, seed=0)]
    assert len(hashes) == len(set(hashes)) == 40


def test_the_seed_decides_and_nothing_else():
    paths = [[sample.path for sample in chosen([50, 50], 32, seed)] for seed in (0, 0, 1)]
    assert paths[0] == paths[1]
    assert set(paths[0]) != set(paths[2])
    assert paths[0] != sorted(paths[0])


def test_fewer_images_are_a_part_of_more():
    assert chosen([50, 50], 32) == chosen([50, 50], 64)[:32]


def test_of_large_images_fewer_are_taken():
    assert affordable_count(256, 224, 224) == 256
    assert affordable_count(256, 32, 32) == 256
    assert 32 < affordable_count(256, 448, 448) < 70
    assert affordable_count(256, 1024, 1024) == 32
