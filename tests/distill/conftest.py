"""A teacher that is trained once, and short distillations from it."""

import json

import pytest
import small_run
from heard import Heard

from edgetl.runs.folder import RunFolder
from edgetl.runs.reporter import Reporter


@pytest.fixture(autouse=True)
def user_cache(tmp_path_factory):
    with small_run.user_cache(tmp_path_factory.getbasetemp()):
        yield


@pytest.fixture(scope="session")
def teacher(tmp_path_factory) -> RunFolder:
    """Three epochs of test_resnet on the digits."""
    return RunFolder.open(small_run.trained(tmp_path_factory.getbasetemp()))


@pytest.fixture(scope="session")
def colours(tmp_path_factory):
    """Two classes of 24 noisy images."""
    return small_run.colours(tmp_path_factory.getbasetemp())


NETWORK = {"model": "test_vit", "small_images": "keep", "batch_size": 8, "learning_rate": 0.001}


@pytest.fixture(scope="session")
def painter(colours, tmp_path_factory) -> RunFolder:
    """A teacher of the colours: three epochs of a small transformer."""
    base = tmp_path_factory.getbasetemp()
    settings = small_run.recipe(data={"path": str(colours), "resize": "crop"}, teacher=NETWORK | {"epochs": 3})
    with small_run.user_cache(base):
        return small_run.made(settings, base / "painter", "teacher", ("data", "finetune"), Reporter())


def distiller(colours, painter, place):
    """Distill the painter: `run, losses, heard = distill("name", student={...}, distill={...})`."""

    def run(name, *, teachers=(painter,), stages=("data", "distill"), student=None, **sections):
        options = {"data": {"path": str(colours), "resize": "crop"}, "student": NETWORK | (student or {})} | sections
        heard = Heard()
        folder = small_run.made(
            small_run.recipe(**options), place / name, "student", stages, heard, teachers=tuple(teachers)
        )
        losses = [json.loads(line)["loss"] for line in folder.file("metrics.jsonl").read_text().splitlines()]
        return folder, losses, heard

    return run


@pytest.fixture
def distill(colours, painter, tmp_path):
    """As `distiller` says, in a folder of the test's own."""
    return distiller(colours, painter, tmp_path)


@pytest.fixture(scope="session")
def taught(colours, painter, tmp_path_factory):
    """Four epochs of a student of the painter, whose answers are there from then on."""
    with small_run.user_cache(tmp_path_factory.getbasetemp()):
        return distiller(colours, painter, tmp_path_factory.mktemp("taught"))("run")


CONTROL = {"stages": ("data", "distill", "control"), "student": {"epochs": 3}}


@pytest.fixture(scope="session")
def controlled(colours, painter, tmp_path_factory):
    """A control run of two seeds."""
    with small_run.user_cache(tmp_path_factory.getbasetemp()):
        run = distiller(colours, painter, tmp_path_factory.mktemp("controlled"))
        return run("run", control={"seeds": 2}, **CONTROL)
