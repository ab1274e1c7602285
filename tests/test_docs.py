"""The documentation: the site builds, every link leads somewhere, and every command and example is one that works."""

import inspect
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import edgetl as package
from edgetl.cli.app import app
from edgetl.recipe.fields import Recipe

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RUN = "runs/photos-mobilenetv2"
RUN_AGAIN = ("predict", "targets", "doctor", "runs", "init", "report")
"""Verbs that are run; the others take minutes, and have tests of their own: what is typed is parsed."""

BLOCK = re.compile(r"^```(console|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(kind: str) -> list[tuple[str, str]]:
    found = ((page.name, block) for page in PAGES for block in BLOCK.findall(page.read_text(encoding="utf-8")))
    return [(page, text) for page, (name, text) in found if name == kind]


def commands() -> list[tuple[str, str]]:
    return [
        (page, line.removeprefix("$ ").partition("  #")[0])
        for page, text in blocks("console")
        for line in text.splitlines()
        if line.startswith("$ edgetl ")
    ]


def test_the_site_builds_without_a_warning(tmp_path):
    build = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet"]
    done = subprocess.run(
        [*build, ROOT / "docs", tmp_path / "site", "-d", tmp_path / "trees"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    recipes = (tmp_path / "site" / "recipes.html").read_text(encoding="utf-8")
    for section in ("data", "student", "quantize"):
        for field in type(getattr(Recipe(), section)).model_fields:
            assert f"{section}.{field}" in recipes


def test_every_link_of_the_readme_leads_somewhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    places = [place for place in re.findall(r"\]\(([^)\s]+)\)", text) if not place.startswith("http")]
    assert len(places) > 5
    assert not [place for place in places if not (ROOT / place.partition("#")[0]).exists()]


@pytest.mark.parametrize(("page", "command"), commands())
def test_a_command_is_understood(page, command):
    _, verb, *typed = shlex.split(command.partition(" > ")[0])
    program = typer.main.get_command(app)
    assert verb in program.commands, page
    program.commands[verb].make_context(verb, typed, parent=typer.Context(program))


@pytest.fixture(scope="module")
def place(finished_run, stripes, tmp_path_factory):
    """A working folder with what the pages speak of: photos, a run, an image."""
    place = tmp_path_factory.mktemp("docs")
    shutil.copytree(finished_run, place / RUN)
    shutil.copytree(stripes, place / "photos")
    image = next((place / "photos").rglob("*.png"))
    (place / "photos/val/thing").mkdir(parents=True)
    for name in ("cat.jpg", "photos/val/thing/n02802426_basketball.JPEG"):
        shutil.copy(image, place / name)
    return place


@pytest.mark.parametrize("command", dict.fromkeys(c for _, c in commands() if shlex.split(c)[1] in RUN_AGAIN))
def test_a_command_works(command, edgetl, place):
    typed = shlex.split(command.partition(" > ")[0])[1:]
    done = edgetl(*(each for each in typed if each != "--open"), cwd=place)
    (place / "recipe.yaml").unlink(missing_ok=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("page", "example"), blocks("python"))
def test_an_example_works(page, example, place, monkeypatch):
    """Training takes minutes and has tests of its own: here its arguments are bound, and a finished run is given."""
    opened, takes = package.open_run(place / RUN), inspect.signature(package.run)
    monkeypatch.setattr(package, "run", lambda *given, **named: (takes.bind(*given, **named), opened)[1])
    monkeypatch.chdir(place)
    exec(compile(example, page, "exec"), {})
