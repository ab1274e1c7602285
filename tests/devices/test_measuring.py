"""Measuring through a device: what is asked of it, and what comes back."""

from contextlib import contextmanager

import numpy as np
import pytest
import tiny

from edgetl.devices.base import Device, Work
from edgetl.devices.local import LocalDevice
from edgetl.devices.measuring import Timing, median_ms, predict, profile, threads_for, time_model
from edgetl.devices.profiles import find_target
from edgetl.errors import RunnerFailed


@pytest.fixture
def images(tmp_path):
    return tiny.write_images(tmp_path / "images", tiny.some_images(5))


def test_answers_times_and_operators_come_from_the_device(tmp_path, images):
    device, model = LocalDevice(), tiny.build("onnx", tmp_path)
    probabilities_NK, facts = predict(device, model, images, threads=1)
    np.testing.assert_allclose(probabilities_NK, tiny.reference(tiny.some_images(5)), atol=1e-5)
    assert facts["images"] == 5
    times = time_model(device, model, images, threads=2, timing=Timing(1, 64, 0.0))
    assert (len(times["infer_s"]), times["runtime"]["threads"], times["warmup_runs"]) == (64, 2, 1)
    assert median_ms(times) == 1e3 * float(np.median(times["infer_s"]))
    told = profile(device, model, images, threads=1, warmup_runs=1, runs=3)
    assert (told["runs"], told["timed"]) == (3, True)


def test_a_refusal_names_the_file(tmp_path, images):
    damaged = tmp_path / "model.onnx"
    damaged.write_bytes(b"damaged")
    with pytest.raises(RunnerFailed, match=r"^model\.onnx: .*onnxruntime cannot open it"):
        predict(LocalDevice(), damaged, images, threads=1)


class Elsewhere(Device):
    """A machine with other paths, of which only what it was asked is of interest."""

    name = "elsewhere"
    start_timeout_s, call_timeout_s = 7.0, 3.0

    def __init__(self, cores):
        self._cores, self.asked = cores, []

    def facts(self):
        return {"cores": self._cores}

    @contextmanager
    def workspace(self):
        yield _Elsewhere(self)


class _Elsewhere:
    def __init__(self, device):
        self._device = device

    def put(self, file):
        return f"/there/{file.name}"

    def put_text(self, name, text):
        self._device.asked.append(text)
        return f"/there/{name}"

    def place(self, name):
        return f"/there/{name}"

    def run(self, arguments, work):
        self._device.asked.append((arguments, self._device.timeout_s(work)))
        return {"infer_s": [1.0]}


def test_a_device_is_given_its_own_paths_and_as_much_time_as_it_needs(tmp_path, images):
    device = Elsewhere(4)
    time_model(device, tmp_path / "m.onnx", images[:1], threads=2, timing=Timing(10, 64, 30.0))
    listed, (arguments, timeout_s) = device.asked
    assert listed == '["/there/000.png"]'
    assert arguments[:4] == ["time", "/there/m.onnx", "--files", "/there/images.json"]
    assert timeout_s == 7 + 2 * 60 + 3 * 148
    assert device.timeout_s(Work(5)) == 22


@pytest.mark.parametrize(("asked", "cores", "expected"), [("auto", 8, 4), (1, 8, 1), (256, 8, 8), ("auto", 2, 2)])
def test_threads_are_those_asked_for_but_not_more_than_the_device_has_cores(asked, cores, expected):
    assert threads_for(asked, find_target("rpi4"), Elsewhere(cores)) == expected
