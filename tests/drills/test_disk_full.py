"""Drill 2, the full disk: a clear word, no half-written file, and a run that goes on when there is space again."""

import errno
import random
import subprocess
from pathlib import Path

import pytest

from drills.conftest import train_both
from drills.harness import fail_at_call, note_calls, sha256, start
from edgetl.errors import StorageFault
from edgetl.runs.files import write_atomic

pytestmark = pytest.mark.drill

TMPFS_BYTES = 20 << 20
FILLINGS, FAULTS = 25, 60
STORAGE = 4
RESULTS = ("teacher/model.safetensors", "teacher/metrics.jsonl", "model.safetensors", "metrics.jsonl")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 20 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "tmpfs", place], check=False)
    if mounted.returncode:
        pytest.skip("this machine does not let us mount a tmpfs")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture
def straight(settings, tmp_path):
    """What an undisturbed run makes, and how many calls it takes."""
    out, counted = tmp_path / "straight", tmp_path / "calls"

    def work():
        note_calls(counted)
        train_both(settings(), out)

    assert start(work, tmp_path / "log").wait() == 0, (tmp_path / "log").read_text()
    return {name: sha256(out / name) for name in RESULTS}, len(counted.read_text().split())


def leftovers(out: Path) -> list[str]:
    return sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.name.endswith(".tmp"))


def hashes(folder: Path) -> dict[str, str]:
    return {str(path): sha256(path) for path in sorted(folder.rglob("step-*")) if not path.name.endswith(".tmp")}


def test_a_disk_that_fills_up_loses_nothing(settings, small_disk, straight, tmp_path, capsys):
    expected, _ = straight
    rng, refused, log, out = random.Random(0), 0, tmp_path / "log", small_disk / "run"
    for _ in range(FILLINGS):
        left = rng.randrange(4 << 10, 3 << 20)
        ballast = small_disk / "ballast"
        used = int(subprocess.check_output(["du", "-sb", small_disk]).split()[0])
        ballast.write_bytes(bytes(max(0, TMPFS_BYTES - used - left)))
        code = start(lambda: train_both(settings(), out), log).wait()
        text = log.read_text().strip()
        assert code in (0, STORAGE), text
        ballast.unlink()
        assert not out.exists() or leftovers(out) == []
        if code == STORAGE:
            refused += 1
            assert str(small_disk) in text
            assert "no space left" in text or "are free" in text
            assert "\n" not in text
        else:
            break
    assert start(lambda: train_both(settings(), out), log).wait() == 0, log.read_text()
    assert {name: sha256(out / name) for name in RESULTS} == expected
    with capsys.disabled():
        print(f"\n{refused} runs on a full disk stopped with a word, and ended with equal bytes")
    assert refused


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_any_call_may_fail(code, settings, straight, tmp_path, capsys):
    expected, _ = straight
    log, out, stopped = tmp_path / "log", tmp_path / "run", 0
    for number in random.Random(code).sample(range(1, 60), FAULTS // 3):

        def work(number=number):
            fail_at_call(number, code)
            train_both(settings(), out)

        ended = start(work, log).wait()
        assert ended in (0, STORAGE), log.read_text()
        stopped += ended == STORAGE
        assert not out.exists() or leftovers(out) == []
        if ended == 0:
            break
    assert start(lambda: train_both(settings(), out), log).wait() == 0, log.read_text()
    assert {name: sha256(out / name) for name in RESULTS} == expected
    with capsys.disabled():
        print(f"\n{errno.errorcode[code]}: {stopped} runs stopped with a word, and ended with equal bytes")


@pytest.mark.parametrize("call", range(1, 5))
def test_a_failed_save_leaves_the_checkpoint_before_as_it_was(call, tmp_path):
    import torch

    from edgetl.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

    folder = tmp_path / "checkpoints"
    tensors = {"weight": torch.arange(1000.0)}
    save_checkpoint(folder, "these", Checkpoint(1, []), tensors)
    before = hashes(folder)

    def work():
        fail_at_call(call)
        save_checkpoint(folder, "these", Checkpoint(2, []), tensors)

    assert start(work, tmp_path / "log").wait() != 0
    assert before.items() <= hashes(folder).items()
    assert leftovers(folder) == []
    assert load_checkpoint(folder, "these")[0].steps_done == 1


def test_the_drill_can_fail(tmp_path):
    """A file that is written in place is half-written when the disk fills up."""
    file = tmp_path / "file"
    file.write_bytes(b"before")

    def in_place():
        with file.open("wb") as out:
            out.write(b"half")
            raise StorageFault(file, OSError(errno.ENOSPC, ""))

    assert start(in_place, tmp_path / "log").wait() == STORAGE
    assert file.read_bytes() == b"half"

    def atomic():
        fail_at_call(2)
        write_atomic(file, b"after")

    assert start(atomic, tmp_path / "log").wait() != 0
    assert file.read_bytes() == b"half"
