"""Drill 3, damaged checkpoints: found before anything is deserialized, and the generation before takes their place."""

import random
import shutil

import pytest

import edgetl.train.checkpoint
from drills.conftest import train_both
from drills.harness import keep_journal, sha256, start
from edgetl.train.checkpoint import load_checkpoint

pytestmark = pytest.mark.drill

TRUNCATIONS, FLIPS, KILLS = 64, 256, 40


@pytest.fixture
def checkpoints(settings, tmp_path):
    """The checkpoints of a killed training: two generations, and the identity that they belong to."""
    import json
    import os
    import signal

    import edgetl.train.state as state

    own = state.save_checkpoint

    def work():
        def die_after_the_ninth(folder, inputs, checkpoint, tensors):
            own(folder, inputs, checkpoint, tensors)
            if checkpoint.steps_done == 9:
                os.kill(os.getpid(), signal.SIGKILL)

        state.save_checkpoint = die_after_the_ninth
        train_both(settings(), tmp_path / "run")

    assert start(work, tmp_path / "log").wait() == -9, (tmp_path / "log").read_text()
    folder = tmp_path / "run" / "teacher" / ".checkpoint-finetune"
    note = json.loads((folder / "step-000000009.json").read_text())
    return folder, note["note"]["inputs"]


def damaged(kind, folder, rng):
    file = folder / f"step-000000009.{rng.choice(['safetensors', 'safetensors', 'json'])}"
    content = bytearray(file.read_bytes())
    if kind == "truncated":
        file.write_bytes(content[: rng.randrange(len(content))])
        return True
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    file.write_bytes(content)
    return True


def survey(folder, inputs, place, monkeypatch):
    """Damage the newest generation in every way; how often the one before was taken, and how often damage was read."""
    rng, fell_back, read_damaged = random.Random(0), 0, 0
    good = load_checkpoint(folder, inputs)
    before = (folder / "step-000000008.safetensors").read_bytes()
    own = edgetl.train.checkpoint.load
    for number in range(TRUNCATIONS + FLIPS):
        copy = place / str(number)
        shutil.copytree(folder, copy)
        damaged("truncated" if number < TRUNCATIONS else "flipped", copy, rng)
        deserialized = []
        monkeypatch.setattr(
            edgetl.train.checkpoint, "load", lambda content, d=deserialized: d.append(content) or own(content)
        )
        state, _ = load_checkpoint(copy, inputs) or (None, None)
        monkeypatch.undo()
        fell_back += state is not None and state.steps_done == 8
        # A flip in the white space of the note changes nothing that it says.
        same = state is not None and state.steps_done == 9 and state == good[0]
        harmless = same and deserialized == [(folder / "step-000000009.safetensors").read_bytes()]
        read_damaged += not harmless and deserialized != [before]
        fell_back += harmless
        shutil.rmtree(copy)
    return fell_back, read_damaged


def test_damage_is_found_before_it_is_read(checkpoints, tmp_path, monkeypatch, capsys):
    folder, inputs = checkpoints
    assert load_checkpoint(folder, inputs)[0].steps_done == 9, "the clean control"
    fell_back, read_damaged = survey(folder, inputs, tmp_path / "copies", monkeypatch)
    with capsys.disabled():
        print(f"\n{fell_back} of {TRUNCATIONS + FLIPS} damaged checkpoints gave way, {read_damaged} were deserialized")
    assert (fell_back, read_damaged) == (TRUNCATIONS + FLIPS, 0)


def test_the_drill_can_fail(checkpoints, tmp_path, monkeypatch):
    """Without the check of the hash, damage is deserialized."""
    folder, inputs = checkpoints
    monkeypatch.setattr(edgetl.train.checkpoint, "_sha256", lambda _content: "0" * 64)
    monkeypatch.setattr(edgetl.train.checkpoint, "hash_of", lambda _note: "0" * 64)
    assert load_checkpoint(folder, inputs) is None
    monkeypatch.undo()

    class Anything(str):
        __slots__ = ()

        def __ne__(self, _other):
            return False

    monkeypatch.setattr(edgetl.train.checkpoint, "_sha256", lambda _content: Anything())
    file = folder / "step-000000009.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert load_checkpoint(folder, inputs)[0].steps_done == 9, "the damaged generation was taken"


def test_kills_with_the_temporary_folder_elsewhere_destroy_nothing(settings, tmp_path, monkeypatch, capsys):
    """Files are written beside their place, so that the rename never crosses a file system."""
    monkeypatch.setenv("TMPDIR", "/dev/shm")
    rng, destroyed = random.Random(1), 0
    out, journal = tmp_path / "run", tmp_path / "journal"

    def work():
        keep_journal(journal)
        train_both(settings(), out)

    kills = 0
    while kills < KILLS:
        if start(work, tmp_path / "log").wait(kill_after_s=rng.uniform(0.05, 0.6)) == 0:
            shutil.rmtree(out)
            continue
        kills += 1
        for folder in (out / "teacher" / ".checkpoint-finetune", out / ".checkpoint-distill" / "student"):
            notes = sorted(folder.glob("step-*.json")) if folder.is_dir() else []
            for note in notes:
                import json

                stated = json.loads(note.read_text())["note"]["sha256"]
                destroyed += sha256(note.with_suffix(".safetensors")) != stated
    with capsys.disabled():
        print(f"\n{destroyed} of {KILLS} kills destroyed a checkpoint")
    assert destroyed == 0
