"""A process that dies in the midst of it: the same command goes on, and ends with the same bytes."""

import signal
import subprocess
import sys
import time

import pytest
from shell import environment_of, quick

RESULTS = ("teacher/model.safetensors", "teacher/metrics.jsonl", "model.safetensors", "metrics.jsonl")


@pytest.mark.parametrize("victim", ["teacher/.checkpoint-finetune", ".checkpoint-distill/student"])
def test_a_killed_distillation_goes_on_to_the_same_bytes(victim, edgetl, stripes, cache, tmp_path):
    models = ("--teacher", "test_resnet", "--student", "test_efficientnet")
    settings = quick(checkpoint_seconds=0, student__epochs=6, student__average_decay=0.9, distill__keep_pixels="always")
    common = ("distill", "--data", stripes, *models, *settings)
    assert edgetl(*common, "--out", tmp_path / "straight").returncode == 0
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "edgetl", *map(str, common), "--out", str(out)]
    process = subprocess.Popen(command, env=environment_of(cache), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with process:
        while not list((out / victim).glob("step-00000001?.json")):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not (out / "model.safetensors").exists()
    again = edgetl(*common, "--out", out)
    assert again.returncode == 0, again.stderr
    assert "going on after step 1" in again.stderr
    for name in RESULTS:
        assert (out / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()
