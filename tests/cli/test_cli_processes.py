"""Several processes under a launcher: the same command, the same result."""

import json
import subprocess
import sys

import pytest
from shell import environment_of, quick

# A network without batch norm, whose statistics would be each process's own.
MODELS = ("--teacher", "test_vit", "--student", "test_vit")
SETTINGS = quick(control__seeds=1, student__average_decay=0.9, distill__teacher_precision="fp32")


LAUNCHER = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", "-m", "edgetl")


def losses_of(file):
    return [json.loads(line)["loss"] for line in file.read_text().splitlines()]


@pytest.fixture(scope="module")
def runs(edgetl, stripes, cache, tmp_path_factory):
    """One run alone, and one by two processes."""
    base = tmp_path_factory.mktemp("processes")
    common = ("distill", "--data", str(stripes), *MODELS, *SETTINGS, "--out")
    launched = [*LAUNCHER, *common, str(base / "torchrun")]
    done = {
        "alone": edgetl(*common, base / "alone"),
        "torchrun": subprocess.run(launched, env=environment_of(cache), capture_output=True, text=True, check=False),
    }
    for each in done.values():
        assert each.returncode == 0, each.stderr
    return base, done


def test_two_processes_train_as_one_does(runs):
    base, _ = runs
    for file in ("teacher/metrics.jsonl", "metrics.jsonl"):
        assert losses_of(base / "torchrun" / file) == pytest.approx(losses_of(base / "alone" / file), rel=0.02)


def test_both_answer_into_one_store(runs):
    base, _ = runs
    (store,) = (base / "torchrun" / "teacher" / ".answers").iterdir()
    pieces = [
        {tuple(line.split()[:3]) for line in (store / f"logits.{rank}.log").read_text().splitlines()} for rank in (0, 1)
    ]
    assert pieces[0]
    assert pieces[1]
    assert not pieces[0] & pieces[1]
    stated = json.loads((store / "logits.json").read_text())
    views, images, _ = stated["shape"]
    assert sum(int(stop) - int(start) for piece in pieces for _, start, stop in piece) == views * images


def test_only_the_first_process_speaks_and_writes(runs):
    base, done = runs
    assert done["torchrun"].stderr.count("distill: done in") == 1
    assert done["torchrun"].stdout.count("Run: ") == 1
    assert not list((base / "torchrun").glob(".*"))
    manifest = json.loads((base / "torchrun" / "manifest.json").read_text())
    assert set(manifest["stages"]) == {"data", "distill", "control"}


def test_a_batch_that_cannot_be_shared_is_refused(stripes, cache, tmp_path):
    command = [*LAUNCHER, "finetune", "--data", str(stripes), "--model", "test_vit", *quick(teacher__batch_size=15)]
    command += ["--out", str(tmp_path / "run")]
    done = subprocess.run(command, env=environment_of(cache), capture_output=True, text=True, check=False)
    assert done.returncode != 0
    problem = "teacher.batch_size: 15 images cannot be shared evenly by 2 processes. Choose a multiple of 2 with --set"
    assert f"edgetl: {problem}" in done.stderr
