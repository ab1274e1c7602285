"""A process that is stopped in the midst of it: the same command goes on, and ends with the same bytes."""

import signal
import subprocess
import sys
import time

import pytest
from shell import environment_of, quick

RESULTS = ("teacher/model.safetensors", "teacher/metrics.jsonl", "model.safetensors", "metrics.jsonl")
MODELS = ("--teacher", "test_resnet", "--student", "test_efficientnet")
SETTINGS = quick(checkpoint_seconds=0, student__epochs=6, student__average_decay=0.9, distill__keep_pixels="always")
# A shell's background job ignores Ctrl-C; not with preexec_fn, which forks this process, threads and all.
START = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from edgetl.cli import main; main()"


@pytest.fixture(scope="module")
def straight(edgetl, stripes, tmp_path_factory):
    """A run that nobody stopped."""
    out = tmp_path_factory.mktemp("straight") / "run"
    done = edgetl("distill", "--data", stripes, *MODELS, *SETTINGS, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.parametrize(
    ("victim", "number"),
    [
        pytest.param("teacher/.checkpoint-finetune", signal.SIGKILL, marks=pytest.mark.drill),
        (".checkpoint-distill/student", signal.SIGKILL),
        (".checkpoint-distill/student", signal.SIGINT),
    ],
)
def test_a_stopped_distillation_goes_on_to_the_same_bytes(victim, number, edgetl, straight, stripes, cache, tmp_path):
    out = tmp_path / "stopped"
    common = ("distill", "--data", str(stripes), *MODELS, *SETTINGS, "--out", str(out))
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", START, *common]
    with subprocess.Popen(command, env=environment_of(cache), stdout=pipe, stderr=pipe, text=True) as process:
        while not list((out / victim).glob("step-00000001?.json")):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        process.send_signal(number)
        _, heard = process.communicate(timeout=60)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "Run the same command again to continue where it stopped" in heard
        assert not (out / ".partial-distill").exists()
    assert not (out / "model.safetensors").exists()
    again = edgetl(*common)
    assert again.returncode == 0, again.stderr
    assert "going on after step 1" in again.stderr
    for name in RESULTS:
        assert (out / name).read_bytes() == (straight / name).read_bytes()
