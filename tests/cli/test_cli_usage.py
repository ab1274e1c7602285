"""What people type naturally is done, or answered by one line with what to type."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from shell import environment_of, paint_folder

from edgetl.runner import __version__


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version(flag, edgetl):
    assert edgetl(flag).stdout == f"edgetl {__version__}\n"


@pytest.mark.parametrize("words", [("run", "-h"), ("help", "run")])
def test_the_page_of_a_verb_by_other_words(words, edgetl):
    assert edgetl(*words).stdout.strip() == edgetl("run", "--help").stdout.strip()


@pytest.mark.parametrize("words", [(), ("-h",), ("help",)])
def test_the_first_page_by_other_words(words, edgetl):
    done = edgetl(*words)
    assert done.returncode == 0
    assert done.stdout.strip() == edgetl("--help").stdout.strip()


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        (("trian",), "trian: no such command. Did you mean 'edgetl finetune'?"),
        (("train",), "train: no such command. Did you mean 'edgetl finetune'?"),
        (("evaluate",), "evaluate: no such command. Did you mean 'edgetl verify'?"),
        (("version",), "Did you mean 'edgetl --version'?"),
        (("help", "nothing"), "nothing: no such command."),
        (("help", "quantise"), "Did you mean 'edgetl quantize'?"),
        (("run", "-e", "5"), "Type --epochs N."),
        (("export", "RUN", "--int8"), "'edgetl run' writes int8 files unasked"),
        (("report", "RUN", "--html"), "no option --html. See 'edgetl report --help'."),
        (("run", "run"), "run: is a run folder, not one of images."),
        (("run", "here.zip"), "here.zip: is packed. Unpack it, and give the folder."),
        (("run", "here/a"), "here/a: no class folders (1 image lies directly in it)."),
        (("run", "here", "--student", "yolov8"), "yolov8: no model has this name"),
        (("predict", ".", "here"), "Give one of those in it, such as run"),
        (("init", "here"), "here: is a folder. For its images, type: edgetl init recipe.yaml --data here"),
        (("targets", "jetson"), "For another device, start from one: edgetl targets rpi4 > mine.yaml"),
        (("run", "here", "--set", "verify.zzz=1"), "Known keys: "),
        (("run", "--batchsize", "8"), "edgetl: run: no option --batchsize. Did you mean --batch-size?"),
        (("run", "--lr", "0.1"), "edgetl: run: no option --lr. Type --set student.learning_rate=VALUE."),
        (("finetune", "--lr", "0.1"), "Type --set teacher.learning_rate=VALUE."),
        (("verify", "RUN", "--dry-run"), "have it."),
        (("run", "--data"), "run: --data needs a value. See 'edgetl run --help'."),
        (("run", "-v"), "Progress is always shown; -q leaves it out."),
        (("verify",), "verify: RUN is missing: a run folder"),
        (("run", "--data", ""), "--data: is empty."),
        (("run", "a", "b"), "run: b is one value too many."),
        (("run", "--seed", "x"), "seed: expected a whole number"),
        (("run", "--epochs", "x"), "--epochs: expected a whole number of at least 1, got 'x'."),
        (("run", "notes.txt"), "notes.txt: is neither a folder of images nor a recipe (.yaml)."),
        (("run", "nowhere"), "nowhere: no such folder or recipe."),
        (("run", "here", "--data", "there"), "Give one of them."),
        (("init", "nodir/recipe.yaml"), "there is no folder nodir."),
        (("predict", "nothing", "x.jpg"), "x.jpg: no such file or folder"),
        (("runs", "nowhere"), "nowhere: no such folder"),
        (("run", "--set", "epochs=3"), "Did you mean 'teacher.epochs' or 'student.epochs'?"),
        (("run", "--set", "imgsz=3"), "Did you mean 'data.image_size' or 'student.image_size'?"),
        (("run", "--set", "studnt.epochs=3"), "Did you mean 'student'?"),
    ],
)  # fmt: skip
def test_a_slip_gets_one_line_with_the_cure(words, cure, edgetl, tmp_path):
    (tmp_path / "run").mkdir()
    for name in ("notes.txt", "here.zip", "run/manifest.json"):
        (tmp_path / name).touch()
    paint_folder(tmp_path / "here", {"a": 1, "b": 1})
    done = edgetl(*words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("edgetl: ")
    assert cure in done.stderr


@pytest.mark.parametrize(
    ("flags", "field", "value"),
    [
        (("--epochs", "7"), "student.epochs", "7"),
        (("--epochs", "7"), "student.tuning_epochs", "7"),
        (("--batch-size", "8"), "student.batch_size", "8"),
        (("--weights", "imagenet"), "student.weights", "default"),
        (("--set", "quantize.scheme=int8"), "quantize.scheme", "[w8a8]"),
        (("--set", "quantize.max_drop=2%"), "quantize.max_drop", "0.02"),
        (("--prune", "60%"), "prune.latency", "0.6"),
        (("--set", "student.strategy=head"), "student.strategy", "features"),
        (("--time", "1h 5min"), ".train_minutes", "65.0"),
    ],
)
def test_usual_words_are_understood(flags, field, value, edgetl, tmp_path):
    import yaml

    done = edgetl("run", *flags, "--print-config", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    section, key = field.split(".")
    recipe = yaml.safe_load(done.stdout)
    assert (recipe[section] if section else recipe)[key] == yaml.safe_load(value)


def test_a_folder_stands_for_data_and_own_photos_do_not_get_the_recipe_of_the_digits(edgetl, stripes, tmp_path):
    done = edgetl("run", stripes, "--print-config", cwd=tmp_path)
    assert f"path: {stripes}" in done.stdout
    assert "image_size: auto" in done.stdout
    assert edgetl("init", "digits.yaml", "--data", "digits", cwd=tmp_path).returncode == 0
    again = edgetl("run", "digits.yaml", "--data", stripes, "--print-config", cwd=tmp_path)
    assert again.returncode == 2
    assert f"Make one for it: edgetl init NEW.yaml --data {stripes}" in again.stderr


def test_an_error_is_json_too(edgetl, tmp_path):
    done = edgetl("verify", "nothing", "--json", cwd=tmp_path)
    answer = json.loads(done.stdout)
    assert answer["error"]["exit_code"] == done.returncode == 2
    assert f"edgetl: {answer['error']['message']}\n" == done.stderr


def test_quiet_leaves_the_result_alone(edgetl, finished_run):
    done = edgetl("report", finished_run, "-q")
    assert done.stderr == ""
    assert "Report: " in done.stdout


def test_a_file_of_a_run_stands_for_it(edgetl, run_copy):
    done = edgetl("report", run_copy / "model.fp32.onnx")
    assert done.returncode == 0, done.stderr


def test_a_name_with_escape_sequences_does_not_reach_the_terminal(edgetl, tmp_path):
    done = edgetl("run", "\x1b[2Jx\udcff", cwd=tmp_path)
    assert "\x1b" not in done.stderr
    assert r"\x1b[2Jx\udcff: no such folder or recipe" in done.stderr


def test_a_working_folder_that_is_gone(cache, tmp_path):
    place = tmp_path / "gone"
    place.mkdir()
    command = f'rmdir "{place}"; exec {sys.executable} -P -m edgetl doctor'
    done = subprocess.run(
        ["sh", "-c", command], cwd=place, env=environment_of(cache), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, "edgetl: the working folder is gone. Change to one that exists\n")


def test_a_closed_pipe_is_no_error_to_talk_about(cache):
    command = f"{sys.executable} -m edgetl init --help | true"
    done = subprocess.run(
        ["bash", "-c", command], env=environment_of(cache), capture_output=True, text=True, check=False
    )
    assert done.stderr == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("moment", ["import", "training"])
def test_a_signal_ends_it_without_a_traceback_and_leaves_no_process(number, moment, stripes, cache, tmp_path):
    models = ("--teacher", "test_resnet", "--student", "test_efficientnet", "--weights", "none")
    settings = ("--set", "data.image_size=32", "--set", "data.workers=2", "--set", "teacher.epochs=1000")
    flags = ("distill", "--data", stripes, *models, *settings, "--out", tmp_path / "run")
    command = [sys.executable, "-c", "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
               "from edgetl.__main__ import main; main()", *map(str, flags)]  # fmt: skip
    process = subprocess.Popen(
        command, env=environment_of(cache), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    if moment == "training":
        _wait_until(lambda: len(_children(process.pid)) == 2)
    else:
        time.sleep(0.3)
    children = _children(process.pid)
    process.send_signal(number)
    try:
        _, heard = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + number
    assert "Traceback" not in heard
    _wait_until(lambda: not any(map(_lives, children)))


def test_a_kill_leaves_no_process_either(stripes, cache, tmp_path):
    models = ("--teacher", "test_resnet", "--student", "test_efficientnet", "--weights", "none")
    settings = ("--set", "data.image_size=32", "--set", "data.workers=2", "--set", "teacher.epochs=1000")
    flags = ("distill", "--data", stripes, *models, *settings, "--out", tmp_path / "run")
    command = [sys.executable, "-m", "edgetl", *map(str, flags)]
    with subprocess.Popen(command, env=environment_of(cache), stderr=subprocess.DEVNULL) as process:
        _wait_until(lambda: len(_children(process.pid)) == 2)
        children = _children(process.pid)
        process.kill()
    _wait_until(lambda: not any(map(_lives, children)))


def _children(pid: int) -> list[int]:
    import psutil

    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _lives(pid: int) -> bool:
    import psutil

    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _wait_until(is_so, patience_s: float = 60.0) -> None:
    end = time.monotonic() + patience_s
    while not is_so():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.02)


def test_it_runs_without_a_home(cache, tmp_path):
    environment = {**os.environ, "HOME": "", "NO_COLOR": "1"}
    environment.pop("XDG_CACHE_HOME", None)
    command = [sys.executable, "-m", "edgetl", "run", "--to", "data", "--out", str(tmp_path / "run")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    assert "no home folder for a cache. Set XDG_CACHE_HOME" in done.stderr.splitlines()[-1]
