"""Checkpoints: whole or absent, and only for the training that wrote them."""

import json
import os
import resource

import pytest
import torch

from edgetl.train.checkpoint import Checkpoint, Rhythm, load_checkpoint, save_checkpoint

LAST = "step-000000001"
RECORDS = [{"epoch": 1.0, "loss": 0.5}, {"epoch": 2.0, "loss": 0.25}, {"epoch": 3.0, "loss": 0.2}]


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
        slots = {f"{number}.{name}": slot for number, state in states for name, slot in sorted(state.items())}
        return {**self.model.state_dict(), **slots}

    def save(self, folder, steps, inputs="these"):
        save_checkpoint(folder, inputs, Checkpoint(steps, RECORDS[:steps]), self.tensors())


def read(folder, inputs="these"):
    return load_checkpoint(folder, inputs)


def is_state_of(trainee, tensors):
    wanted = trainee.tensors()
    return tensors.keys() == wanted.keys() and all(torch.equal(tensors[name], wanted[name]) for name in wanted)


@pytest.fixture
def saved(tmp_path):
    """The state after three steps, saved as the first."""
    trainee = Trainee(steps=3)
    trainee.save(tmp_path, 1)
    return trainee


def test_what_is_read_is_what_was_saved(saved, tmp_path):
    state, tensors = read(tmp_path)
    assert state == Checkpoint(1, RECORDS[:1])
    assert is_state_of(saved, tensors)


def test_two_generations_are_kept(saved, tmp_path):
    for steps in (2, 3):
        saved.save(tmp_path, steps)
    names = [f"step-00000000{steps}.{kind}" for steps in (2, 3) for kind in ("json", "safetensors")]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert read(tmp_path)[0] == Checkpoint(3, RECORDS)


def test_what_a_killed_save_began_is_cleared_away(saved, tmp_path):
    (tmp_path / ".step-000000002.safetensors.99.tmp").write_bytes(b"half")
    (tmp_path / "step-000000009.safetensors").write_bytes(b"without a note")
    saved.save(tmp_path, 2)
    assert {path.stem for path in tmp_path.iterdir()} == {"step-000000001", "step-000000002"}


def test_nothing_there_is_nothing_to_continue(tmp_path):
    assert read(tmp_path / "none") is None


@pytest.mark.usefixtures("saved")
def test_the_checkpoint_of_other_inputs_is_not_continued(tmp_path):
    assert read(tmp_path, inputs="others") is None


def flip_a_byte(folder):
    file = folder / f"{LAST}.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


DAMAGE = {
    "a byte of the weights": flip_a_byte,
    "weights cut off": lambda folder: os.truncate(folder / f"{LAST}.safetensors", 1000),
    "weights gone": lambda folder: (folder / f"{LAST}.safetensors").unlink(),
    "note gone": lambda folder: (folder / f"{LAST}.json").unlink(),
    "note cut off": lambda folder: os.truncate(folder / f"{LAST}.json", 30),
    "note empty": lambda folder: os.truncate(folder / f"{LAST}.json", 0),
    "note of another kind": lambda folder: (folder / f"{LAST}.json").write_text(json.dumps([1, 2])),
    "a digit of a record": lambda folder: (folder / f"{LAST}.json").write_text(
        (folder / f"{LAST}.json").read_text().replace("0.5", "0.6")
    ),
    "note incomplete": lambda folder: (folder / f"{LAST}.json").write_text(json.dumps({"inputs": "these"})),
}


@pytest.mark.usefixtures("saved")
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_gives_way_to_the_one_before(damage, tmp_path):
    before = Trainee(steps=1, seed=7)
    before.save(tmp_path, 0)
    DAMAGE[damage](tmp_path)
    heard = []
    state, tensors = load_checkpoint(tmp_path, "these", heard.append)
    assert (state.steps_done, is_state_of(before, tensors)) == (0, True)
    assert heard == ([] if damage == "note gone" else [tmp_path / f"{LAST}.safetensors"])


def test_nothing_damaged_is_ever_deserialized(saved, tmp_path, monkeypatch):
    def refuse(_content):
        raise AssertionError("a damaged file was deserialized")

    flip_a_byte(tmp_path)
    monkeypatch.setattr("edgetl.train.checkpoint.load", refuse)
    assert read(tmp_path) is None


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
    state, tensors = read(tmp_path)
    assert (state.steps_done, is_state_of(saved, tensors)) == (1, True)


def test_a_stop_between_weights_and_note_leaves_the_state_before(saved, tmp_path):
    (tmp_path / f".step-000000002.json.{os.getpid()}.tmp").mkdir()  # in the note's way
    with pytest.raises(IsADirectoryError):
        Trainee(steps=5).save(tmp_path, 2)
    state, tensors = read(tmp_path)
    assert (state.steps_done, is_state_of(saved, tensors)) == (1, True)


def test_saving_takes_a_thirtieth_of_the_time_at_most():
    now = 0.0

    def tick(seconds):
        nonlocal now
        now += seconds

    rhythm = Rhythm(20.0, clock=lambda: now)
    assert not rhythm.is_time()
    tick(20.0)
    assert rhythm.is_time()
    rhythm.save(lambda: tick(2.0))
    tick(59.0)
    assert not rhythm.is_time(), "two seconds for a save are worth sixty without"
    tick(1.0)
    assert rhythm.is_time()
    rhythm.save(lambda: tick(0.1))
    tick(20.0)
    assert rhythm.is_time(), "a fast save waits for the least time only"


def test_without_a_least_time_every_step_is_saved():
    rhythm = Rhythm(0.0, clock=lambda: 5.0)
    assert rhythm.is_time()
    rhythm.save(lambda: None)
    assert rhythm.is_time()
