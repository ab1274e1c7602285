"""The wheel of the runner on a device: an old Python or old libraries, one runtime, and nothing of edgetl."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tiny
from PIL import Image

from edgetl.runner import Model, __version__

ROOT = Path(__file__).parents[2]
VENV = ROOT / ".venv-device"
PY39 = ROOT / "build" / "py39"
QUICK = ("--warmup", "1", "--min-samples", "2", "--min-seconds", "0")
TFLITE = {"one.tflite": {}, "four.tflite": {"batch": 4}, "integers.tflite": {"int8_output": True}}
# The root needs /proc, where runtimes look for the CPU; a mount in a namespace of its own goes with the process.
ENTER = 'mount --rbind /proc "$0/proc" && exec chroot "$0" env --chdir "$@"'


@dataclass(frozen=True)
class Device:
    """A Python that has the wheel, and its current folder."""

    python: tuple[str, ...]
    folder: Path
    """As this machine sees it; it holds the models and `photos`."""

    models: tuple[str, ...]
    """Those that its runtimes open."""

    says: str
    """Its Python and its NumPy."""

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        # -I: neither PYTHONPATH nor the current folder; only what is installed there.
        command = [*self.python, "-I", *map(str, arguments)]
        environment = {"PATH": os.environ["PATH"], "HOME": "/nowhere"}
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)

    def ask(self, *arguments: object, status: int = 0) -> dict:
        done = self.run("-m", "edgetl_runner", *arguments)
        assert done.returncode == status, done.stdout + done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    place = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", place, ROOT / "edgetl" / "runner")
    (wheel,) = place.glob("edgetl_runner-*-py3-none-any.whl")
    return wheel


@pytest.fixture(scope="module", params=["venv", pytest.param("py39", marks=pytest.mark.py39)])
def device(request, wheel, tmp_path_factory):
    if request.param == "venv":
        yield in_venv(wheel, tmp_path_factory.mktemp("device"))
    else:
        yield from in_root(wheel)


def in_venv(wheel, folder):
    if not (VENV / ".installed").is_file():
        pytest.skip("'make test' makes .venv-device")
    python = VENV / "bin" / "python"
    pip("--python", python, "uninstall", "--yes", "edgetl-runner")
    pip("--python", python, "install", "--no-index", wheel)  # fails if it needs more than is there
    fill(folder)
    return Device((str(python),), folder, tuple(TFLITE), f"{sys.version_info[0]}.{sys.version_info[1]} 1.26.4")


def in_root(wheel):
    if not (PY39 / ".installed").is_file():
        pytest.skip("'make test-py39' makes build/py39")
    packages = PY39 / "usr" / "local" / "lib" / "python3.9" / "dist-packages"
    pip("install", "--no-deps", "--no-index", "--upgrade", "--target", packages, wheel)
    with tempfile.TemporaryDirectory(dir=PY39 / "tmp") as folder:
        fill(Path(folder))
        inside = f"/tmp/{Path(folder).name}"
        python = ("unshare", "--mount", "sh", "-c", ENTER, str(PY39), inside, "/usr/bin/python3")
        yield Device(python, Path(folder), (*TFLITE, "model.onnx"), "3.9 2.0.2")


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


def fill(folder):
    """Five photos, one of them to be resized, and the models."""
    images = tiny.some_images(5)
    tiny.write_images(folder / "photos", images)
    Image.fromarray(images[0]).resize((41, 30)).save(folder / "photos" / "large.png")
    for name, options in TFLITE.items():
        tiny.build("tflite", folder, name=name, **options)
    tiny.build("onnx", folder)
    tiny.build("openvino", folder)


def on_host(device, model):
    """What the same model says of the same photos here."""
    return Model.open(device.folder / model).probabilities(sorted((device.folder / "photos").iterdir()))


def test_nothing_of_edgetl_is_there(device):
    code = "import sys, numpy, importlib.util as u; print(*sys.version_info[:2], sep='.', end=' ');"
    done = device.run("-c", code + "print(numpy.__version__, u.find_spec('edgetl'), u.find_spec('torch'))")
    assert done.stdout == f"{device.says} None None\n", done.stderr


def test_predictions_are_the_hosts(device):
    for model in device.models:
        facts = device.ask("predict", model, "photos", "--out", "probabilities.npy")
        probabilities_NK = np.load(device.folder / "probabilities.npy")
        assert (facts["images"], probabilities_NK.dtype) == (6, np.float32)
        np.testing.assert_allclose(probabilities_NK, on_host(device, model), atol=2e-6, err_msg=model)


def test_labels_are_printed(device):
    answer = device.ask("predict", device.models[0], "photos/003.png", "--top", 1)
    (best,) = answer["predictions"][0]["top"]
    expected_K = on_host(device, device.models[0])[3]
    assert best["label"] == tiny.LABELS[expected_K.argmax()]
    assert best["probability"] == pytest.approx(expected_K.max(), abs=2e-6)


def test_verify_passes_what_the_host_recorded_and_nothing_else(device):
    recorded_NK = on_host(device, "one.tflite")
    np.save(device.folder / "recorded.npy", recorded_NK)
    arguments = ("verify", "one.tflite", "photos", "--reference", "recorded.npy")
    assert device.ask(*arguments)["agreements"] == 6
    recorded_NK[4, 1] += 0.01
    np.save(device.folder / "recorded.npy", recorded_NK)
    answer = device.ask(*arguments, status=1)
    assert [each["image"] for each in answer["differ"]] == ["photos/004.png"]


def test_models_are_timed(device):
    for model in device.models:
        timed = device.ask("time", model, *QUICK)
        assert len(timed["infer_s"]) == len(timed["total_s"]) == 2
        assert timed["images"] == "noise"
    assert device.ask("time", device.models[0], "photos", *QUICK)["images"] == 6


def test_models_are_profiled(device):
    for model in device.models:
        profiled = device.ask("profile", model, "--warmup", 1, "--runs", 2)
        assert {"SOFTMAX", "Softmax"} & {each["type"] for each in profiled["operators"]}


def test_the_python_interface_is_there(device):
    code = (
        "import edgetl_runner as r; p = r.Model.open('one.tflite', threads=2).predict('photos/001.png');"
        "print(r.__version__, p.label, round(p.confidence, 3), len(p.top(9)))"
    )
    done = device.run("-c", code)
    best_K = on_host(device, "one.tflite")[1]
    expected = f"{__version__} {tiny.LABELS[best_K.argmax()]} {round(float(best_K.max()), 3)} 4\n"
    assert done.stdout == expected, done.stderr


def test_a_runtime_that_is_missing_is_named_as_pip_knows_it(device):
    answer = device.ask("time", "model.xml", status=2)
    assert answer == {"error": "openvino is not installed. Run: pip install openvino"}


def test_help_and_wrong_usage_name_the_program(device):
    assert device.run("-m", "edgetl_runner", "--help").stdout.startswith("usage: python -m edgetl_runner ")
    assert device.ask("time", status=2)["error"].startswith("python -m edgetl_runner time: the following arguments")
