"""Fixtures that many rooms share: the command line as a user runs it, and one finished run."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shell import Edgetl, environment_of, in_process, paint_folder, quick

from edgetl.runner.telemetry import switch_off_telemetry

# Before any test imports OpenVINO, which else fork a process that reports home.
switch_off_telemetry()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/golden anew; review the diff like code")


# Folders whose tests share what takes long to make go to one worker; the longest start first. Those of data come before
# anything has imported JAX: after it, each pool of workers starts from a new process.
GROUPS = {"cli": "chain", "tests": "chain", "quantize": "integers", "export": "integers", "explain": "integers"}
FIRST = ("integers", "data", "chain", "distill", "train", "prune")


def group_of(file: Path) -> str:
    """What a test file shares its worker with."""
    return GROUPS.get(file.parent.name, file.parent.name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: order.get(group_of(item.path), len(FIRST)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler.loadscope import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(Path(nodeid.partition("::")[0]))

    return ByGroup(config, log)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with a file of tests/golden: `golden("help-run.txt", text)`."""

    def check(name: str, text: str) -> None:
        file = Path(__file__).parent / "golden" / name
        if request.config.getoption("--update-golden"):
            file.write_text(text, encoding="utf-8")
        assert text == file.read_text(encoding="utf-8"), f"{name} differs; 'pytest --update-golden' writes it anew"

    return check


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder of the tests' own."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def edgetl(cache: Path) -> Edgetl:
    """Run the command line in this process: `edgetl("run", "--data", folder, cwd=place)`."""

    def run(*arguments: object, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        return in_process([*map(str, arguments)], cwd, environment_of(cache) | env)

    return run


@pytest.fixture(scope="session")
def edgetl_process(cache: Path) -> Edgetl:
    """Run the command line in a process of its own, where that is the point."""

    def run(*arguments: object, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        environment = environment_of(cache) | env
        command = [sys.executable, "-m", "edgetl", *map(str, arguments)]
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four classes that a tiny network learns in seconds."""
    return paint_folder(
        tmp_path_factory.mktemp("data") / "stripes", {"across": 40, "down": 40, "fine": 40, "steep": 40}
    )


@pytest.fixture(scope="session")
def finished_run(edgetl: Edgetl, stripes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole chain, once for all tests, on real runtimes; tests that change it take a copy."""
    out = tmp_path_factory.mktemp("runs") / "stripes"
    models = ("--teacher", "test_resnet", "--student", "test_efficientnet", "--target", "rpi4")
    done = edgetl("run", "--data", stripes, *models, "--out", out, *quick())
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture
def run_copy(finished_run: Path, tmp_path: Path) -> Path:
    """A finished run that a test may change."""
    return Path(shutil.copytree(finished_run, tmp_path / "copy"))
