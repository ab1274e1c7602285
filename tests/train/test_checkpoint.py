"""Checkpoints: whole or absent, and only for the training that wrote them."""

import json
import os
import resource

import pytest
import torch

from edgetl.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

RECORDS = [{"epoch": 1.0, "loss": 0.5}, {"epoch": 2.0, "loss": 0.25}]


class Trainee:
    """A network of some 3 MB, with a norm, after a number of optimizer steps."""

    def __init__(self, steps=0, seed=0):
        torch.manual_seed(seed)
        self.model = torch.nn.Sequential(torch.nn.Linear(500, 500), torch.nn.BatchNorm1d(500))
        matrices, vectors = [self.model[0].weight], [self.model[0].bias, *self.model[1].parameters()]
        self.optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": vectors}], lr=1e-3)
        self.step(steps)

    def step(self, steps):
        for number in range(steps):
            self.optimizer.zero_grad()
            self.model(torch.randn(8, 500, generator=torch.Generator().manual_seed(number))).square().sum().backward()
            self.optimizer.step()

    def tensors(self):
        states = sorted(self.optimizer.state_dict()["state"].items())
        slots = [slot for _, state in states for _, slot in sorted(state.items())]
        return [*self.model.state_dict().values(), *slots]

    def save(self, folder, epochs, inputs="these"):
        save_checkpoint(folder, inputs, Checkpoint(epochs, RECORDS[:epochs]), self.model, self.optimizer)

    def load(self, folder, inputs="these"):
        return load_checkpoint(folder, inputs, self.model, self.optimizer)

    def equals(self, other):
        pairs = zip(self.tensors(), other.tensors(), strict=True)
        return all(torch.equal(mine, theirs) for mine, theirs in pairs)


@pytest.fixture
def saved(tmp_path):
    """The state after three steps, saved as the first epoch's."""
    trainee = Trainee(steps=3)
    trainee.save(tmp_path, 1)
    return trainee


def test_a_restored_training_is_the_one_that_was_saved(saved, tmp_path):
    other = Trainee(seed=1)
    assert other.load(tmp_path) == Checkpoint(1, RECORDS[:1])
    assert other.equals(saved)
    saved.step(2)
    other.step(2)
    assert other.equals(saved)


def test_only_the_last_state_is_kept(saved, tmp_path):
    saved.save(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-00002.safetensors", "state.json"]
    assert Trainee().load(tmp_path) == Checkpoint(2, RECORDS)


def test_nothing_there_is_nothing_to_continue(tmp_path):
    assert Trainee().load(tmp_path / "none") is None


@pytest.mark.usefixtures("saved")
def test_the_checkpoint_of_other_inputs_is_not_continued(tmp_path):
    fresh = Trainee(seed=1)
    assert fresh.load(tmp_path, inputs="others") is None
    assert fresh.equals(Trainee(seed=1)), "nothing of it is taken over"


def flip_a_byte(folder):
    file = folder / "epoch-00001.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


DAMAGE = {
    "a byte of the weights": flip_a_byte,
    "weights cut off": lambda folder: os.truncate(folder / "epoch-00001.safetensors", 1000),
    "weights gone": lambda folder: (folder / "epoch-00001.safetensors").unlink(),
    "note gone": lambda folder: (folder / "state.json").unlink(),
    "note cut off": lambda folder: os.truncate(folder / "state.json", 30),
    "note empty": lambda folder: os.truncate(folder / "state.json", 0),
    "note of another kind": lambda folder: (folder / "state.json").write_text(json.dumps([1, 2])),
    "note incomplete": lambda folder: (folder / "state.json").write_text(json.dumps({"inputs": "these"})),
}


@pytest.mark.usefixtures("saved")
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_not_continued(damage, tmp_path):
    DAMAGE[damage](tmp_path)
    assert Trainee().load(tmp_path) is None


def test_a_disk_that_fills_up_leaves_the_state_before(saved, tmp_path):
    before = sorted(path.name for path in tmp_path.iterdir())
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    later = Trainee(steps=5)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            later.save(tmp_path, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    other = Trainee()
    assert other.load(tmp_path) == Checkpoint(1, RECORDS[:1])
    assert other.equals(saved)


def test_a_stop_between_weights_and_note_leaves_the_state_before(saved, tmp_path):
    (tmp_path / f".state.json.{os.getpid()}.tmp").mkdir()  # in the note's way
    with pytest.raises(IsADirectoryError):
        Trainee(steps=5).save(tmp_path, 2)
    other = Trainee()
    assert other.load(tmp_path) == Checkpoint(1, RECORDS[:1])
    assert other.equals(saved)
