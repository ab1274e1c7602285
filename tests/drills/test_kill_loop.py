"""Drill 1, the kill loop: SIGKILL at any moment, and the same command ends with the same bytes."""

import random
import shutil
from collections import Counter
from pathlib import Path

import pytest
import small_run

from drills.conftest import train_both
from drills.harness import journal_of, keep_journal, kill_at_call, note_calls, sha256, start

pytestmark = pytest.mark.drill

RANDOM_KILLS, AIMED_KILLS = 75, 25  # for each number of workers
RESULTS = ("teacher/model.safetensors", "teacher/metrics.jsonl", "model.safetensors", "metrics.jsonl")


class Loop:
    """A run that is killed again and again."""

    def __init__(self, settings, place):
        self.settings, self.out, self.journal = settings, place / "run", place / "journal"
        self._log = place / "log"
        self.kills = 0

    def attempt(self, *, kill_after_s=None, prepare=lambda: None):
        """Run once; whether it came to its end."""

        def work():
            keep_journal(self.journal)
            prepare()
            train_both(self.settings, self.out)

        code = start(work, self._log).wait(kill_after_s)
        assert code in (0, -9), self._log.read_text()
        self.kills += code == -9
        return code == 0

    def digests(self):
        return {name: sha256(self.out / name) for name in RESULTS}


def checks_of(journal):
    """Each checkpoint by training and step, and how many steps were taken more than once."""
    times = Counter((name, step) for name, step, _ in journal)
    return {(name, step): digest for name, step, digest in journal}, sum(count - 1 for count in times.values())


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bytes(workers, settings, tmp_path, capsys):
    straight = Loop(settings(workers), tmp_path / "straight")
    straight.out.parent.mkdir()
    counted = tmp_path / "calls"
    assert straight.attempt(prepare=lambda: note_calls(counted))
    calls = len(counted.read_text().split())
    expected, repeated = checks_of(journal_of(straight.journal))
    assert repeated == 0
    rng, rounds, total, again = random.Random(workers), 0, 0, 0
    while total < RANDOM_KILLS + AIMED_KILLS:
        loop = Loop(settings(workers), tmp_path / f"killed-{rounds}")
        loop.out.parent.mkdir()
        done = False
        while not done and total + loop.kills < RANDOM_KILLS + AIMED_KILLS:
            if (total + loop.kills) % 4 == 0:
                call = rng.randrange(1, calls)
                done = loop.attempt(prepare=lambda call=call: kill_at_call(call))
            else:
                done = loop.attempt(kill_after_s=rng.uniform(0.05, 1.2))
        if not done:
            assert loop.attempt(), "it always comes to its end when it is left alone"
        found, repeated = checks_of(journal_of(loop.journal))
        assert found == {key: expected[key] for key in found}, "weights, optimizer, average and losses of every step"
        assert repeated <= loop.kills, "a kill costs one step at most"
        assert loop.digests() == straight.digests()
        rounds, total, again = rounds + 1, total + loop.kills, again + repeated
    with capsys.disabled():
        print(f"\n{workers} workers: {total} kills in {rounds} runs, all equal; {again} steps taken twice")


def test_answers_that_grow_survive_a_kill_at_every_call_around_it(settings, tmp_path, capsys):
    """A student of two views, then one of five: killed before each call in which the teacher's answers grow."""

    def teach(out, name, views):
        recipe = settings(distill={"teacher_views": views, "keep_pixels": "never", "loss": {"kd": 1.0}})
        teacher = small_run.made(recipe, out / "teacher", "teacher", ("data", "finetune"))
        small_run.made(recipe, out / name, "student", ("data", "distill"), teachers=(teacher,))

    def attempt(out, prepare=lambda: None):
        def work():
            prepare()
            teach(out, "second", 5)

        code = start(work, tmp_path / "log").wait()
        assert code in (0, -9), (tmp_path / "log").read_text()
        return code == 0

    def results(out):
        (answers,) = (out / "teacher" / ".answers").glob("*/logits.bin")
        return sha256(out / "second" / "model.safetensors"), sha256(answers)

    first, straight, calls = (tmp_path / name for name in ("first", "straight", "calls"))
    assert start(lambda: teach(first, "first", 2), tmp_path / "log").wait() == 0, (tmp_path / "log").read_text()
    shutil.copytree(first, straight)
    assert attempt(straight, lambda: note_calls(calls))
    grows = calls.read_text().split().index("fallocate") + 1
    aimed = range(grows - 1, grows + 8)
    for call in aimed:
        out = Path(shutil.copytree(first, tmp_path / f"killed-{call}"))
        assert not attempt(out, lambda call=call: kill_at_call(call))
        assert attempt(out)
        assert results(out) == results(straight)
    with capsys.disabled():
        print(f"\n{len(aimed)} kills while answers grew, all equal")


def test_the_drill_can_fail(settings, tmp_path, monkeypatch):
    """With a learning rate that starts anew where the run goes on, the bytes differ."""
    import edgetl.train.loop as loop_module

    straight, killed = (Loop(settings(), tmp_path / name) for name in ("straight", "killed"))
    for loop in (straight, killed):
        loop.out.parent.mkdir()
    own = loop_module.one_cycle
    started = {}

    def forgetful(step, total, **options):
        return own(step - started.setdefault(total, step), total, **options)

    monkeypatch.setattr(loop_module, "one_cycle", forgetful)
    assert straight.attempt()
    assert not killed.attempt(prepare=lambda: kill_at_call(60)), "in the midst of the teacher's training"
    assert killed.attempt()
    assert killed.digests() != straight.digests()
