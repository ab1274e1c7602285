"""Fixtures that many rooms share: the command line as a user runs it, and one finished run."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from shell import Edgetl, environment_of, in_process, paint_folder, quick

from edgetl.runner.telemetry import switch_off_telemetry

# Before any test imports OpenVINO, which else fork a process that reports home.
switch_off_telemetry()


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
