"""Batches that cross from workers through shared memory: none is overwritten before it is read."""

import time
from multiprocessing import get_start_method
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from edgetl.data import exchange as exchange_module
from edgetl.data.exchange import PREFETCHED, Exchange, Slot
from edgetl.data.index import ImageIndex
from edgetl.data.loader import Order, ordered_batches, training_batches
from edgetl.data.views import Views
from edgetl.recipe.images import AugmentConfig
from edgetl.runner.contract import Contract

CONTRACT = Contract(labels=("cat", "dog"), height=8, width=8)


@pytest.fixture
def index(paint, tmp_path, open_folder) -> ImageIndex:
    for label in ("cat", "dog"):
        paint(label, 6, size=(90, 70), suffix=".jpg")
    return open_folder(tmp_path / "images")


@pytest.fixture
def worker(monkeypatch):
    """Pretend to be a worker; the second of two, unless told."""
    here = SimpleNamespace(id=1)
    monkeypatch.setattr(exchange_module, "get_worker_info", lambda: here)
    return here


def images(value, count=2):
    return [np.full((2, 2, 3), value, np.uint8)] * count


def slow_batches(index, workers, pause_s):
    """The pixels of many batches, of which every one is read late."""
    views, order = Views(CONTRACT, AugmentConfig()), Order(len(index.split("train")), 2, 0)
    found = []
    for batch in training_batches(index, index.split("train"), views, order, range(24), workers=workers):
        time.sleep(pause_s)
        found.append(batch.images_NHWC)
    return found


@pytest.mark.parametrize("workers", [1, 2])
def test_a_batch_that_is_read_late_is_still_itself(index, workers):
    late, alone = slow_batches(index, workers, 0.01), slow_batches(index, 0, 0)
    assert all(torch.equal(*pair) for pair in zip(late, alone, strict=True))


@pytest.mark.skipif(get_start_method() != "fork", reason="only forked workers inherit memory")
def test_batches_of_forked_workers_do_not_go_through_the_pipe(index, monkeypatch):
    taken = []
    original = Exchange.take
    monkeypatch.setattr(Exchange, "take", lambda self, put: taken.append(put) or original(self, put))
    slow_batches(index, 1, 0)
    list(ordered_batches(index, index.split("train"), Views(CONTRACT), batch_size=4, workers=1))
    assert {type(put) for put in taken} == {Slot}


def test_a_worker_has_a_slot_for_each_batch_ahead_and_the_one_that_is_read(worker):
    exchange = Exchange(2, 24)
    slots = [exchange.put(images(value)) for value in range(PREFETCHED + 1)]
    assert [exchange.take(slot).max() for slot in slots] == list(range(PREFETCHED + 1))
    assert exchange.put(images(9)).number == slots[0].number


def test_workers_have_slots_of_their_own(worker):
    exchange = Exchange(2, 24)
    mine = exchange.put(images(1))
    worker.id = 0
    exchange._put = 0  # each worker counts for itself
    yours = exchange.put(images(2))
    assert (exchange.take(mine).max(), exchange.take(yours).max()) == (1, 2)


def test_a_batch_that_fits_no_slot_is_sent_as_it_is(worker):
    sent = Exchange(2, 24).put(images(5, count=3))
    np.testing.assert_array_equal(sent, np.full((3, 2, 2, 3), 5))


def test_what_was_taken_does_not_change_when_its_slot_is_used_again(worker):
    exchange = Exchange(2, 24)
    taken = exchange.take(exchange.put(images(1)))
    for value in range(2, 6):
        exchange.put(images(value))
    assert np.all(taken == 1)
    assert taken.flags.writeable
