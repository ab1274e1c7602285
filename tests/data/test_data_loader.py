"""Batches: the same for any number of workers and from any epoch on."""

import multiprocessing
import sys
from dataclasses import dataclass, fields, replace
from types import ModuleType
from typing import ClassVar

import numpy as np
import pytest
import torch

from edgetl.data.dataset import ViewDataset
from edgetl.data.index import ImageIndex
from edgetl.data.loader import Order, ordered_batches, training_batches, worker_count
from edgetl.data.views import Views, evaluation, mixed, mixing, view
from edgetl.errors import DataError
from edgetl.recipe.images import AugmentConfig
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


def train(
    index,
    *,
    epochs=range(2),
    batch_size=4,
    seed=0,
    workers=0,
    view_count=None,
    vary=False,
    mixup=0.0,
    augment=AUGMENT,
    **options,
):
    samples = index.split("train")
    views = Views(CONTRACT, augment, seed, mixup)
    order = Order(len(samples), batch_size, seed, view_count, vary)
    steps = range(epochs.start * order.steps_per_epoch, epochs.stop * order.steps_per_epoch)
    return list(training_batches(index, samples, views, order, steps, workers=workers, **options))


def in_order(index, views=None, **options):
    return list(ordered_batches(index, index.split("train"), views or Views(CONTRACT), **options))


def as_bytes(batches):
    return [
        (b.images_NHWC.numpy().tobytes(), b.labels_N.tolist(), b.positions_N.tolist(), b.view, b.step) for b in batches
    ]


def test_batches_are_full_and_say_where_they_belong(index):
    batches = train(index, epochs=range(3), view_count=2)
    assert [(b.step, b.view) for b in batches] == [(0, 0), (1, 0), (2, 1), (3, 1), (4, 0), (5, 0)]
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
        [p for b in train(index, batch_size=5) if b.step // 2 == epoch for p in b.positions_N.tolist()]
        for epoch in (0, 1)
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
    alone, together = (as_bytes(in_order(large_index, batch_size=3, workers=w)) for w in (0, 2))
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
    batches = in_order(index, batch_size=4, workers=0)
    assert [p for b in batches for p in b.positions_N.tolist()] == list(range(11))
    assert [(len(b.labels_N), b.view) for b in batches] == [(4, -1), (4, -1), (3, -1)]
    images_NHWC = torch.cat([b.images_NHWC for b in batches]).numpy()
    for pixels_HWC, sample in zip(images_NHWC, index.split("train"), strict=True):
        np.testing.assert_array_equal(pixels_HWC, evaluation(load_image(index.file(sample)), CONTRACT))


def test_a_view_in_order_is_the_view_of_training(index):
    shown = {}
    for batch in train(index, epochs=range(9, 10), batch_size=11, seed=5):
        shown = dict(zip(batch.positions_N.tolist(), batch.images_NHWC, strict=True))
    for batch in in_order(index, Views(CONTRACT, AUGMENT, 5), batch_size=4, workers=0, view=9):
        for position, pixels_HWC in zip(batch.positions_N.tolist(), batch.images_NHWC, strict=True):
            assert torch.equal(pixels_HWC, shown[position])


def test_a_view_without_augmentation_is_refused(index):
    with pytest.raises(ValueError, match="needs the recipe's augmentation"):
        in_order(index, batch_size=4, workers=0, view=0)
    with pytest.raises(ValueError, match="needs the recipe's augmentation"):
        ViewDataset(index, index.split("train"), Views(CONTRACT))[0, 0]


def test_no_worker_outlives_its_batches(large_index):
    samples = large_index.split("train")
    order = Order(len(samples), 2, 0)
    batches = training_batches(large_index, samples, Views(CONTRACT, AUGMENT), order, range(200), workers=2)
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
    assert str(caught.value).startswith(f"{file}: is gone since this run read it,")
    assert "\n" not in str(caught.value)


def test_tiny_images_are_opened_once(index):
    dataset = ViewDataset(index, index.split("train"), Views(CONTRACT, AUGMENT))
    before = dataset[0, 0][0]
    index.file(index.split("train")[0]).unlink()
    np.testing.assert_array_equal(dataset[0, 0][0], before)
    assert len(dataset) == 11


def test_automatic_workers_follow_the_images(index):
    assert worker_count(replace(index, median_side=64), "auto") == 0
    assert 1 <= worker_count(replace(index, median_side=65), "auto") <= 4
    assert worker_count(index, 1) == 1
    assert worker_count(index, 64) <= multiprocessing.cpu_count()


def test_a_mixed_view_is_the_blend_of_two_views_and_says_so(index):
    samples, shares = index.split("train"), []
    for batch in train(index, seed=3, mixup=0.4):
        for number, position in enumerate(batch.positions_N.tolist()):
            views = Views(CONTRACT, AUGMENT, 3, 0.4)
            other = mixing(views, view=batch.view, sample=position, count=len(samples))
            alone = [
                view(load_image(index.file(samples[p])), CONTRACT, AUGMENT, seed=3, view=batch.view, sample=p)
                for p in (position, other.partner)
            ]
            np.testing.assert_array_equal(batch.images_NHWC[number].numpy(), mixed(*alone, other))
            assert batch.partner_labels_N[number] == samples[other.partner].label
            assert batch.partner_shares_N[number] == pytest.approx(other.share)
            shares.append(other.share)
    assert 0 <= min(shares) < max(shares) <= 0.4


def test_without_mixup_a_view_has_no_partner(index):
    for batch in train(index):
        assert batch.partner_shares_N.tolist() == [0.0] * 4
        assert torch.equal(batch.partner_labels_N, batch.labels_N)


def test_processes_share_a_batch_between_them(index):
    whole, first, second = train(index), train(index, share=(0, 2)), train(index, share=(1, 2))
    for together, mine, yours in zip(whole, first, second, strict=True):
        assert together.positions_N.tolist()[::2] == mine.positions_N.tolist()
        assert together.positions_N.tolist()[1::2] == yours.positions_N.tolist()
        assert torch.equal(together.images_NHWC[1::2], yours.images_NHWC)


def test_processes_share_the_batches_in_order(index):
    seen = [
        p for rank in (0, 1) for b in in_order(index, batch_size=4, workers=0, share=(rank, 2)) for p in b.positions_N
    ]
    assert sorted(map(int, seen)) == list(range(11))


def test_only_views_that_come_again_are_varied(index):
    exact = train(index, epochs=range(4), view_count=2)
    varied = train(index, epochs=range(4), view_count=2, vary=True)
    assert [batch.positions_N.tolist() for batch in varied] == [batch.positions_N.tolist() for batch in exact]
    alike = [
        torch.equal(*pair) for pair in zip(*[[b.images_NHWC for b in each] for each in (varied, exact)], strict=True)
    ]
    assert alike[:4] == [True] * 4
    assert not any(alike[4:])


def test_what_must_not_be_mirrored_is_not_when_it_comes_again(index):
    """At 8 px a sixteenth is no whole pixel, so that nothing is left of the variation."""
    still = {"epochs": range(2), "view_count": 1, "augment": AUGMENT.model_copy(update={"flip": False})}
    assert as_bytes(train(index, vary=True, **still)) == as_bytes(train(index, **still))


def test_a_training_that_goes_on_varies_what_an_undisturbed_one_would(index):
    repeated = {"view_count": 1, "vary": True}
    assert (
        as_bytes(train(index, epochs=range(1, 3), **repeated))
        == as_bytes(train(index, epochs=range(3), **repeated))[2:]
    )


def test_stored_views_are_the_views(index):
    stored_VNHWC = np.stack(
        [
            np.concatenate(
                [b.images_NHWC.numpy() for b in in_order(index, views, batch_size=4, workers=0, view=number)]
            )
            for views in [Views(CONTRACT, AUGMENT, 0)]
            for number in range(2)
        ]
    )
    assert as_bytes(train(index, stored=stored_VNHWC)) == as_bytes(train(index))
    repeated = {"epochs": range(4), "view_count": 2, "vary": True}
    assert as_bytes(train(index, stored=stored_VNHWC, **repeated)) == as_bytes(train(index, **repeated))
    for sample in index.split("train"):
        index.file(sample).unlink()
    assert len(train(index, stored=stored_VNHWC)) == 4, "no image is opened"
