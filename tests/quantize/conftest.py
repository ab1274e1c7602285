"""What tests of quantization share, made once: a small network's graph, plans and float files, and a whole run."""

import io
import subprocess
from contextlib import redirect_stdout

import numpy as np
import pytest
import small_run
from nets import contract, images, network

from edgetl.data.index import read_index
from edgetl.devices import local
from edgetl.devices.profiles import find_target
from edgetl.export.formats import SUFFIX
from edgetl.export.writing import write_artifact
from edgetl.quantize.planner import Planner
from edgetl.quantize.sweep import SweepSettings
from edgetl.quantize.widths import paired_width
from edgetl.recipe.fields import FORMATS
from edgetl.runner.__main__ import main
from edgetl.runs.folder import RunFolder
from edgetl.runs.quiet import quiet
from edgetl.zoo.deployable import load_deployable

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Small:
    """A small network that expects some mean and deviation, its float files, and a plan; nobody changes them."""

    def __init__(self, folder, formats, *statistics):
        deployable, self.contract = network(*statistics), contract(*statistics)
        self.planner = Planner(deployable, self.contract, images(64))
        # For any CPU: without dot-product instructions ONNX Runtime gets larger weights wrong.
        self.plan = self.planner.plan(SweepSettings(paired_width))
        self.sources = {name: folder / f"model.fp32{SUFFIX[name]}" for name in formats}
        with quiet():
            for name, file in self.sources.items():
                write_artifact(name, deployable, self.contract, file, find_target("linux-x86"))


@pytest.fixture(scope="session")
def pixels(tmp_path_factory):
    """The network whose input has the pixels as codes."""
    return Small(tmp_path_factory.mktemp("pixels"), FORMATS)


@pytest.fixture(scope="session")
def normalised(tmp_path_factory):
    """The network whose channels are scaled each in its own way."""
    return Small(tmp_path_factory.mktemp("normalised"), ("onnx", "openvino"), *IMAGENET)


@pytest.fixture(scope="session", params=["pixels", "normalised"])
def small(request):
    """Both networks, one after the other."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def planner(pixels):
    """Plans of the network whose input has the pixels as codes."""
    return pixels.planner


@pytest.fixture(scope="session")
def graph(planner):
    """Its graph as it was traced."""
    return planner.traced


@pytest.fixture(scope="session")
def plan(pixels):
    """Its plan for any CPU."""
    return pixels.plan


@pytest.fixture(scope="session")
def sources(pixels):
    """Its float files, by format."""
    return pixels.sources


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A quantized run of a network that has learned the digits; nobody changes it."""
    return RunFolder.open(small_run.quantized(tmp_path_factory.getbasetemp()))


@pytest.fixture(scope="session")
def digits(run, tmp_path_factory):
    """Images and labels of the run's test split."""
    with small_run.user_cache(tmp_path_factory.getbasetemp()):
        index = read_index(run)
        samples = index.split("test")
        images_NHWC = run.contract.read([index.file(sample) for sample in samples])
    return images_NHWC, np.array([sample.label for sample in samples])


@pytest.fixture(scope="session")
def digits_planner(run, tmp_path_factory):
    """Plans of the run's network, which calibrate on training images."""
    with small_run.user_cache(tmp_path_factory.getbasetemp()):
        index = read_index(run)
        images_NHWC = run.contract.read([index.file(sample) for sample in index.split("train")[:64]])
    return Planner(load_deployable(run), run.contract, images_NHWC)


@pytest.fixture
def runner_inside(monkeypatch):
    """The runner without a process of its own: starting one takes longer than a small network."""

    def complete(command, _title, _timeout_s, _limits):
        with redirect_stdout(io.StringIO()) as output:
            status = main(command[command.index("edgetl.runner") + 1 :])
        return subprocess.CompletedProcess(command, status, output.getvalue(), "")

    monkeypatch.setattr(local, "_complete", complete)
