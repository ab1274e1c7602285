"""An installed wheel: complete by itself, light without the extras, and clear about what is missing."""

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BASE = ("numpy", "pillow", "psutil", "pydantic", "pyyaml", "rich", "typer")


def with_dependencies(names: tuple[str, ...]) -> set[str]:
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in found or not is_installed(name):
            continue
        found.add(name)
        plain = [r for r in metadata.requires(name) or [] if "extra ==" not in r and "sys_platform" not in r]
        todo += [re.split(r"[^A-Za-z0-9._-]", requirement)[0] for requirement in plain]
    return found


def is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:  # needed on another system or Python only
        return False
    return True


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the wheel unpacked beside the base dependencies and nothing else: an empty environment."""
    place = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    subprocess.run([*build, str(place), str(ROOT)], check=True)
    (wheel,) = place.glob("*.whl")
    site = place / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target"]
    subprocess.run([*install, str(site), str(wheel)], check=True)
    for name in with_dependencies(BASE):
        for top in {Path(str(file)).parts[0] for file in metadata.files(name) or []} - {".."}:
            source = Path(str(metadata.distribution(name).locate_file(top)))
            if source.exists() and not (site / top).exists() and top != "__pycache__":
                (site / top).symlink_to(source)
    return site


def installed(site: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = f"import sys; sys.path.insert(0, {str(site)!r}); from edgetl.cli import main; main()"
    # -I -S: no user site, no site-packages, no current folder; only what the wheel and its base requirements bring.
    command = [sys.executable, "-I", "-S", "-c", program, *arguments]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "120"}
    )


def test_targets_are_reachable_from_any_folder(site, tmp_path):
    done = installed(site, tmp_path, "targets")
    assert done.returncode == 0, done.stderr
    assert "rpi4" in done.stdout


@pytest.mark.parametrize("flags", [[], ["--teacher", "auto"]])
def test_a_missing_extra_is_named_before_anything_is_written(flags, site, tmp_path):
    done = installed(site, tmp_path, "run", *flags)
    assert done.returncode == 4
    assert done.stderr == "edgetl: torch is not installed. Run: pip install 'edgetl[train]'\n"
    assert list(tmp_path.iterdir()) == []


def test_doctor_says_what_is_missing_and_the_cure(site, tmp_path):
    done = installed(site, tmp_path, "doctor")
    assert done.returncode == 4
    assert "Missing for [tflite]: litert-torch, ai-edge-litert, flatbuffers, torchao." in done.stdout
    assert done.stdout.splitlines()[-1].startswith("Run: pip install 'edgetl[train,")


def test_the_wheel_brings_the_report_template_the_types_and_the_licence(site):
    assert (site / "edgetl" / "py.typed").is_file()
    assert (site / "edgetl" / "report" / "templates" / "report.html.j2").is_file()
    assert list(site.glob("edgetl-*.dist-info/licenses/LICENSE"))
