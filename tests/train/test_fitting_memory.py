"""Whether a batch fits in memory, and which one would."""

import resource
from functools import partial

import psutil
import pytest
import torch
from torch import nn

from edgetl.errors import ConfigError
from edgetl.recipe.networks import TeacherConfig
from edgetl.runs.processes import Processes
from edgetl.train.fitting_memory import check_batch, footprint, guarded

CONFIG = TeacherConfig(batch_size=100)
SIDE = 8


class Network(nn.Module):
    """Two layers and a batch norm, of which every number can be counted."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(192, 50), nn.BatchNorm1d(50), nn.ReLU(), nn.Linear(50, 3))

    def forward(self, images_NHWC):
        return self.layers(images_NHWC.float())


IMAGE = torch.zeros(SIDE, SIDE, 3, dtype=torch.uint8)
KEPT_BYTES = 4 * (192 + 50 + 50)  # the input, that of the norm, and what the ReLU gives to the last layer
WEIGHTS_BYTES = 4 * (192 * 50 + 50 + 2 * 50 + 3 * 50 + 3)


def test_the_footprint_is_what_can_be_counted():
    found = footprint(Network(), torch.zeros(64, SIDE, SIDE, 3, dtype=torch.uint8), CONFIG, half=False)
    assert found.image_bytes == pytest.approx(KEPT_BYTES, rel=0.02), "and the statistics of the norm"
    assert found.fixed_bytes == 3 * WEIGHTS_BYTES, "gradients, and two moments of AdamW"
    assert found.needed(10, 2.0) == pytest.approx(20 * found.image_bytes + found.fixed_bytes)


def test_what_is_frozen_keeps_less():
    network = Network().requires_grad_(False)
    network.layers[-1].requires_grad_(True)
    found = footprint(network, torch.zeros(64, SIDE, SIDE, 3, dtype=torch.uint8), CONFIG, half=False)
    assert found.image_bytes == pytest.approx(4 * 50, rel=0.02)
    assert found.fixed_bytes == 3 * 4 * (3 * 50 + 3)


def test_the_network_stays_as_it_is():
    network = Network().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    footprint(network, torch.full((4, SIDE, SIDE, 3), 9, dtype=torch.uint8), CONFIG, half=False)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def check(free, monkeypatch, *, images=100, processes=Processes(), **fields):  # noqa: B008  frozen
    monkeypatch.setattr("edgetl.train.fitting_memory.available_bytes", lambda: free)
    config = TeacherConfig(batch_size=images, **fields)
    check_batch(Network(), IMAGE, config, images=images, section="teacher", processes=processes, half=False)


FITS_64 = 3 * WEIGHTS_BYTES + 64 * 3.0 * KEPT_BYTES


def test_a_batch_that_cannot_fit_is_refused_with_the_largest_power_of_two_that_does(monkeypatch):
    with pytest.raises(ConfigError) as caught:
        check(FITS_64, monkeypatch, images=2000)
    assert str(caught.value) == (
        "teacher.batch_size: 2000 images need about 0.0 GB of memory, and 0.0 GB are available."
        " 64 fit: --set teacher.batch_size=64 --set teacher.accumulate=32"
    )


def test_a_batch_that_fits_is_not_refused(monkeypatch):
    check(FITS_64, monkeypatch, images=64)


def test_accumulated_batches_need_the_memory_of_one(monkeypatch):
    check(FITS_64, monkeypatch, images=64, accumulate=100)


def test_where_nothing_fits_that_is_said(monkeypatch):
    with pytest.raises(ConfigError, match="No smaller batch fits either: choose a smaller network or image size"):
        check(WEIGHTS_BYTES, monkeypatch)


def test_small_images_are_not_even_measured(monkeypatch):
    monkeypatch.setattr("edgetl.train.fitting_memory.footprint", lambda *_, **__: pytest.fail("measured in vain"))
    check(2**30, monkeypatch)


def allocate(images):
    """Take a tenth of a gigabyte for each image, as a step would."""
    return torch.empty(images * 100_000_000, dtype=torch.uint8)[:1].zero_()


@pytest.fixture
def half_a_gigabyte():
    """Leave that much to this process, so that the allocator really refuses."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + 500_000_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.usefixtures("half_a_gigabyte")
def test_a_refusal_of_memory_is_answered_with_a_batch_that_was_tried():
    ask = partial(guarded, attempt=allocate, config=CONFIG, images=100, section="student", processes=Processes())
    assert ask(partial(allocate, 1)) == 0
    with pytest.raises(ConfigError) as caught:
        ask(partial(allocate, 100))
    assert str(caught.value) == (
        "student.batch_size: 100 images do not fit in memory."
        " 4 fit: --set student.batch_size=4 --set student.accumulate=25"
    )


def test_other_faults_are_not_hidden():
    def fail():
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        guarded(fail, allocate, CONFIG, images=100, section="student", processes=Processes())


def test_processes_share_the_batch_that_is_recommended():
    def refuse():
        raise MemoryError

    def fits(images):
        if images > 10:
            raise MemoryError

    with pytest.raises(ConfigError, match=r"32 fit: --set student\.batch_size=32 --set student\.accumulate=4"):
        guarded(refuse, fits, CONFIG, images=100, section="student", processes=Processes(0, 4))
