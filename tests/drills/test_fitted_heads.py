"""Drills 1 and 2 from a fitted head: killed, or with a disk that fails, at any call, it ends with equal bytes."""

import errno
import random

import pytest
import small_run

from drills.harness import fail_at_call, kill_at_call, note_calls, sha256, start
from edgetl.runs.reporter import Reporter

pytestmark = pytest.mark.drill

KILLS, FAULTS = 20, 8
STORAGE = 4
RESULTS = ("teacher/model.safetensors", "teacher/metrics.jsonl", "model.safetensors", "metrics.jsonl")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """Teacher and student of two epochs from weights whose last stage has to be trained."""
    base = tmp_path_factory.getbasetemp()
    log = base / "weights.log"
    # In a child, as the parent must not train: it would not be safe to fork.
    assert start(lambda: small_run.weights_of_digits(base), log).wait() == 0, log.read_text()
    network = {"model": "test_resnet", "train_from": "layer4", "small_images": "keep", "learning_rate": 0.01}
    network |= {"tuning_epochs": 2, "batch_size": 8, "weights": str(base / "damaged.safetensors")}
    return small_run.recipe(
        checkpoint_seconds=0,
        data={"path": str(small_run.few_digits(base)), "image_size": 16, "resize": "crop"},
        teacher=network,
        student=network,
    )


@pytest.fixture(scope="module")
def straight(recipe, tmp_path_factory):
    """What undisturbed runs make, and the calls that they take."""
    place = tmp_path_factory.mktemp("straight")

    def work():
        note_calls(place / "calls")
        learn_both(recipe, place / "run")

    assert start(work, place / "log").wait() == 0, (place / "log").read_text()
    return {name: sha256(place / "run" / name) for name in RESULTS}, (place / "calls").read_text().split()


def learn_both(recipe, out):
    teacher = small_run.made(recipe, out / "teacher", "teacher", ("data", "finetune"), Reporter())
    small_run.made(recipe, out, "student", ("data", "distill"), Reporter(), teachers=(teacher,))


def test_killed_anywhere_it_ends_with_the_same_bytes(recipe, straight, tmp_path, capsys):
    expected, calls = straight
    aimed = sorted(random.Random(0).sample(range(1, len(calls)), min(KILLS, len(calls) - 1)))
    for call in aimed:
        out, log = tmp_path / f"killed-{call}", tmp_path / "log"

        def work(call=call, out=out):
            kill_at_call(call)
            learn_both(recipe, out)

        assert start(work, log).wait() == -9, log.read_text()
        assert start(lambda out=out: learn_both(recipe, out), log).wait() == 0, log.read_text()
        assert {name: sha256(out / name) for name in RESULTS} == expected, f"killed before call {call}"
    with capsys.disabled():
        print(f"\n{len(aimed)} kills from a fitted head, all equal")


def test_a_disk_that_fails_anywhere_loses_nothing(recipe, straight, tmp_path, capsys):
    expected, calls = straight
    stopped = 0
    for call in random.Random(1).sample(range(1, len(calls)), min(FAULTS, len(calls) - 1)):
        out, log = tmp_path / f"failed-{call}", tmp_path / "log"

        def work(call=call, out=out):
            fail_at_call(call, errno.ENOSPC)
            learn_both(recipe, out)

        ended, text = start(work, log).wait(), log.read_text().strip()
        assert ended in (0, STORAGE), text
        assert "\n" not in text
        stopped += ended == STORAGE
        assert not [path for path in out.rglob("*") if path.name.endswith(".tmp")]
        assert start(lambda out=out: learn_both(recipe, out), log).wait() == 0, log.read_text()
        assert {name: sha256(out / name) for name in RESULTS} == expected, f"failed at call {call}"
    with capsys.disabled():
        print(f"\n{stopped} runs from a fitted head stopped with a word, and ended with equal bytes")
    assert stopped
