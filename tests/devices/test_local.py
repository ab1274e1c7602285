"""The runner in a process of its own: its answers, its refusals, its deaths."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
import tiny

import edgetl
from edgetl.devices import local
from edgetl.devices.base import Work
from edgetl.devices.local import LocalDevice
from edgetl.errors import RunnerFailed


@pytest.fixture
def time_arguments(tmp_path):
    model = tiny.build("onnx", tmp_path)
    files = tiny.write_list(tmp_path / "files.json", tiny.write_images(tmp_path / "images", tiny.some_images(3)))
    return ["time", str(model), "--files", str(files), "--min-samples", "4"]


@pytest.fixture
def dying_runner(monkeypatch, tmp_path):
    """Lets the child run other code, by standing in for the interpreter."""

    def install(code):
        stand_in = tmp_path / "python"
        stand_in.write_text(f"#!{sys.executable}\n{code}\n", encoding="utf-8")
        stand_in.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(stand_in))

    return install


def call_runner(arguments, *, timeout_s):
    """Run a command on this machine, which gives it up after so many seconds."""
    device = LocalDevice()
    device.start_timeout_s = timeout_s
    with device.workspace() as there:
        return there.run(arguments, Work(0))


def children():
    return [child for child in psutil.Process().children() if "edgetl.runner" in " ".join(child.cmdline())]


def test_an_answer_comes_back_as_data(time_arguments):
    answer = call_runner([*time_arguments, "--min-seconds", "0"], timeout_s=60)
    assert len(answer["infer_s"]) == 4
    assert answer["runtime"]["name"] == "onnxruntime"


def test_the_memory_of_the_child_is_its_own(time_arguments):
    ballast = bytearray(b"x") * 400_000_000
    answer = call_runner([*time_arguments, "--min-seconds", "0"], timeout_s=60)
    assert answer["peak_rss_bytes"] < len(ballast)


def test_files_of_the_current_folder_are_not_imported(time_arguments, monkeypatch, tmp_path):
    (tmp_path / "numpy.py").write_text("raise RuntimeError", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert call_runner([*time_arguments, "--min-seconds", "0"], timeout_s=60)["infer_s"]


def test_a_refusal_keeps_its_words(tmp_path):
    files = tiny.write_list(tmp_path / "files.json", [tmp_path / "image.png"])
    with pytest.raises(RunnerFailed, match=r"gone\.onnx: no such file$"):
        call_runner(["time", str(tmp_path / "gone.onnx"), "--files", str(files)], timeout_s=60)


def test_wrong_usage_keeps_its_words():
    with pytest.raises(RunnerFailed, match=r"^python -m edgetl\.runner time: .* are required: MODEL\."):
        call_runner(["time"], timeout_s=60)


def test_a_child_that_takes_too_long_is_stopped(time_arguments):
    with pytest.raises(RunnerFailed, match=r"^runner time .*model\.onnx: no answer within 2 s, so it was stopped$"):
        call_runner([*time_arguments, "--min-seconds", "600"], timeout_s=2)
    assert children() == []


def test_a_child_does_not_outlive_an_interrupt(time_arguments):
    def interrupt(_number, _frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    try:
        with pytest.raises(KeyboardInterrupt):
            call_runner([*time_arguments, "--min-seconds", "600"], timeout_s=60)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert children() == []


def test_a_crash_names_its_signal_and_the_last_words(dying_runner):
    dying_runner("import os, sys; print('bad kernel', file=sys.stderr, flush=True); os.kill(os.getpid(), 11)")
    with pytest.raises(RunnerFailed, match=r"^runner predict m\.onnx: killed by SIGSEGV \(bad kernel\)"):
        call_runner(["predict", "m.onnx"], timeout_s=60)


def test_a_bug_keeps_its_traceback_as_a_note(dying_runner):
    dying_runner("raise KeyError('lost')")
    with pytest.raises(RunnerFailed, match=r"exit status 1 \(KeyError: 'lost'\)") as caught:
        call_runner(["predict", "m.onnx"], timeout_s=60)
    assert "Traceback" in caught.value.__notes__[0]


@pytest.mark.parametrize("printed", ["", "not json", "3"])
def test_an_answer_that_is_none_is_an_error(dying_runner, printed):
    dying_runner(f"print({printed!r})")
    with pytest.raises(RunnerFailed, match="exit status 0"):
        call_runner(["predict", "m.onnx"], timeout_s=60)


def test_chatter_before_the_answer_is_skipped(dying_runner):
    dying_runner(f"print('loading plugins'); print({json.dumps({'images': 1})!r})")
    assert call_runner(["predict", "m.onnx"], timeout_s=60) == {"images": 1}


def test_an_endless_inference_is_stopped_long_before_the_whole_time_is_over(tmp_path, monkeypatch):
    """A loop in native code, which no exception of Python's would end."""
    monkeypatch.setattr(LocalDevice, "call_timeout_s", 0.5)
    model, images = endless_model(tmp_path), tiny.write_images(tmp_path / "images", tiny.some_images(3))
    files = tiny.write_list(tmp_path / "files.json", images)
    device = LocalDevice()
    start = time.monotonic()
    with (
        pytest.raises(RunnerFailed, match="an inference took far too long, so it was stopped"),
        device.workspace() as w,
    ):
        w.run(["predict", str(model), "--files", str(files), "--out", w.place("out.npy")], Work(10_000))
    assert time.monotonic() - start < 60  # of 5,000 s that ten thousand images may take


def test_a_child_that_takes_too_much_memory_gets_none(dying_runner, monkeypatch):
    monkeypatch.setattr(local, "available_bytes", lambda: 500_000_000)
    code = "import sys; sys.path[:0] = [%r]; from edgetl.runner.guard import take_limits; take_limits()"
    dying_runner(f"{code % str(Path(edgetl.__file__).parents[1])}; bytearray(1_000_000_000)")
    with pytest.raises(RunnerFailed, match="MemoryError"):
        call_runner(["predict", "m.onnx"], timeout_s=60)


def test_folders_of_processes_that_were_killed_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gone = subprocess.Popen(["true"])
    gone.wait()
    for name in (f"edgetl-{gone.pid}-abc", f"edgetl-{os.getpid()}-abc", "edgetl-mine"):
        (tmp_path / name).mkdir()
    with LocalDevice().workspace():
        pass
    assert sorted(each.name for each in tmp_path.iterdir()) == [f"edgetl-{os.getpid()}-abc", "edgetl-mine"]


def endless_model(folder):
    """The tiny model with a loop before it that never ends."""
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load(tiny.build("onnx", folder))
    source = model.graph.input[0]
    kind = source.type.tensor_type
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Identity", ["carried"], ["carried_on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried", kind.elem_type, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried_on", kind.elem_type, None),
        ],
    )
    loop = helper.make_node("Loop", ["", "always", source.name], ["looped"], body=body)
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name == source.name:
                node.input[place] = "looped"
    model.graph.node.insert(0, loop)
    model.graph.initializer.append(helper.make_tensor("always", TensorProto.BOOL, [], [True]))
    file = folder / "endless.onnx"
    onnx.save(model, file)
    return file
