"""Batches: the same for any number of workers and from any epoch on."""

import multiprocessing
import sys
from dataclasses import dataclass, fields, replace
from types import ModuleType
from typing import ClassVar

import numpy as np
import pytest
import torch

from edgetl.config import AugmentConfig
from edgetl.data.index import ImageIndex
from edgetl.data.loader import ViewDataset, ordered_batches, training_batches, worker_count
from edgetl.data.views import evaluation, view
from edgetl.errors import DataError
from edgetl.runner.contract import Contract, load_image

CONTRACT = Contract(labels=("cat", "dog"), height=8, width=8)
AUGMENT = AugmentConfig(rotate_degrees=20, shift_fraction=0.1)


@pytest.fixture
def index(pets, open_folder):
    """Eleven images to train on."""
    return open_folder(pets)


@pytest.fixture
def large_index(paint, tmp_path, open_folder):
    """Images that are not kept in memory."""
    for label in ("cat", "dog"):
        paint(label, 6, size=(90, 70), suffix=".jpg")
    return open_folder(tmp_path / "images")


def train(index, *, epochs=range(2), batch_size=4, seed=0, workers=0, view_of_epoch=lambda epoch: epoch):
    batches = training_batches(
        index, "train", CONTRACT, AUGMENT,
        seed=seed, batch_size=batch_size, epochs=epochs, view_of_epoch=view_of_epoch, workers=workers,
    )  # fmt: skip
    return list(batches)


def as_bytes(batches):
    return [
        (b.images_NHWC.numpy().tobytes(), b.labels_N.tolist(), b.positions_N.tolist(), b.view, b.epoch, b.last_of_epoch)
        for b in batches
    ]


def test_batches_are_full_and_say_where_they_belong(index):
    batches = train(index, epochs=range(3), view_of_epoch=lambda epoch: epoch % 2)
    assert [(b.epoch, b.view, b.last_of_epoch) for b in batches] == [
        (0, 0, False), (0, 0, True), (1, 1, False), (1, 1, True), (2, 0, False), (2, 0, True),
    ]  # fmt: skip
    for batch in batches:
        assert (batch.images_NHWC.shape, batch.images_NHWC.dtype) == ((4, 8, 8, 3), torch.uint8)
        assert (batch.labels_N.dtype, batch.positions_N.dtype) == (torch.int64, torch.int64)


def test_a_batch_holds_the_addressed_views_and_labels(index):
    samples = index.split("train")
    for batch in train(index, seed=7):
        for pixels_HWC, label, position in zip(batch.images_NHWC, batch.labels_N, batch.positions_N, strict=True):
            sample = samples[position]
            image = load_image(index.file(sample))
            expected = view(image, CONTRACT, AUGMENT, seed=7, view=batch.view, sample=int(position))
            np.testing.assert_array_equal(pixels_HWC.numpy(), expected)
            assert label == sample.label


def test_an_epoch_shows_no_image_twice_and_each_epoch_has_its_own_order(index):
    first, second = [
        [p for b in train(index, batch_size=5) if b.epoch == epoch for p in b.positions_N.tolist()] for epoch in (0, 1)
    ]
    assert len(set(first)) == len(set(second)) == 10
    assert first != second
    assert train(index, seed=1)[0].positions_N.tolist() != first[:4]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_goes_on_sees_what_an_uninterrupted_one_would(index, workers):
    whole = as_bytes(train(index, epochs=range(5), workers=workers))
    rest = as_bytes(train(index, epochs=range(3, 5), workers=workers))
    assert rest == whole[6:]


def test_workers_change_nothing(large_index):
    assert as_bytes(train(large_index, workers=0)) == as_bytes(train(large_index, workers=2))
    alone, together = (
        as_bytes(ordered_batches(large_index, "train", CONTRACT, batch_size=3, workers=w)) for w in (0, 2)
    )
    assert alone == together


@dataclass(frozen=True)
class CountedIndex(ImageIndex):
    """Counts how often it is sent to another process; a forked one inherits it instead."""

    sent: ClassVar[int] = 0

    def __reduce__(self):
        type(self).sent += 1
        return ImageIndex, tuple(getattr(self, field.name) for field in fields(ImageIndex))


def test_workers_are_no_forks_of_a_process_with_jaxs_threads(large_index, monkeypatch):
    monkeypatch.setattr(CountedIndex, "sent", 0)
    counted = CountedIndex(*(getattr(large_index, field.name) for field in fields(ImageIndex)))
    monkeypatch.setitem(sys.modules, "jax", ModuleType("jax"))
    assert as_bytes(train(counted, workers=1)) == as_bytes(train(counted))
    assert CountedIndex.sent == 1


def test_a_batch_is_never_larger_than_the_split(index):
    assert [len(b.labels_N) for b in train(index, batch_size=64)] == [11, 11]


def test_in_order_every_image_comes_once_and_the_last_batch_may_be_small(index):
    batches = list(ordered_batches(index, "train", CONTRACT, batch_size=4, workers=0))
    assert [p for b in batches for p in b.positions_N.tolist()] == list(range(11))
    assert [(len(b.labels_N), b.last_of_epoch, b.view) for b in batches] == [
        (4, False, -1),
        (4, False, -1),
        (3, True, -1),
    ]
    images_NHWC = torch.cat([b.images_NHWC for b in batches]).numpy()
    for pixels_HWC, sample in zip(images_NHWC, index.split("train"), strict=True):
        np.testing.assert_array_equal(pixels_HWC, evaluation(load_image(index.file(sample)), CONTRACT))


def test_a_view_in_order_is_the_view_of_training(index):
    shown = {}
    for batch in train(index, epochs=range(1), batch_size=11, seed=5, view_of_epoch=lambda _: 9):
        shown = dict(zip(batch.positions_N.tolist(), batch.images_NHWC, strict=True))
    options = {"batch_size": 4, "workers": 0, "view": 9, "augment": AUGMENT, "seed": 5}
    for batch in ordered_batches(index, "train", CONTRACT, **options):
        for position, pixels_HWC in zip(batch.positions_N.tolist(), batch.images_NHWC, strict=True):
            assert torch.equal(pixels_HWC, shown[position])


def test_a_view_without_augmentation_is_refused(index):
    with pytest.raises(ValueError, match="needs the recipe's augmentation"):
        list(ordered_batches(index, "train", CONTRACT, batch_size=4, workers=0, view=0))
    with pytest.raises(ValueError, match="needs the recipe's augmentation"):
        ViewDataset(index, "train", CONTRACT, None, 0)[0, 0]


def test_no_worker_outlives_its_batches(large_index):
    batches = training_batches(
        large_index, "train", CONTRACT, AUGMENT,
        seed=0, batch_size=2, epochs=range(50), view_of_epoch=lambda epoch: epoch, workers=2,
    )  # fmt: skip
    next(batches)
    assert len(multiprocessing.active_children()) == min(2, worker_count(large_index, 2))
    batches.close()
    assert multiprocessing.active_children() == []


def test_pytorchs_own_random_numbers_are_left_alone(index, large_index):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    train(index)
    train(large_index, workers=2)
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_is_gone_or_changed_is_named_in_one_line(large_index, workers):
    file = large_index.file(large_index.split("train")[2])
    content = file.read_bytes()
    file.write_bytes(content[:100])
    with pytest.raises(DataError) as caught:
        train(large_index, workers=workers)
    assert str(caught.value).startswith(f"{file}: has changed since this run read it (")
    file.unlink()
    with pytest.raises(DataError) as caught:
        train(large_index, workers=workers)
    assert str(caught.value).startswith(f"{file}: is gone since this run read it.")
    assert "\n" not in str(caught.value)


def test_tiny_images_are_opened_once(index):
    dataset = ViewDataset(index, "train", CONTRACT, AUGMENT, 0)
    before = dataset[0, 0][0]
    index.file(index.split("train")[0]).unlink()
    np.testing.assert_array_equal(dataset[0, 0][0], before)
    assert len(dataset) == 11


def test_automatic_workers_follow_the_images(index):
    assert worker_count(replace(index, median_side=64), "auto") == 0
    assert 1 <= worker_count(replace(index, median_side=65), "auto") <= 4
    assert worker_count(index, 1) == 1
    assert worker_count(index, 64) <= multiprocessing.cpu_count()
