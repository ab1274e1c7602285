"""The documentation: the site builds, every link leads somewhere, and every command and example is one that works."""

import inspect
import os
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
from edgetl.runs.folder import RunFolder

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", *DOCS]
RUN, TEACHER = "runs/photos-mobilenetv2", "runs/photos-resnet50"

TRAINING = ("run", "distill", "finetune")
"""Verbs that are run up to the training: the recipe is read, the images are looked at, the stages are planned."""
MEASURING = ("quantize", "bench", "explain")
"""Verbs that are run up to the work, which takes more than five seconds: options, recipe, plan and run are checked."""

BLOCK = re.compile(r"^```(console|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`edgetl ([a-z]+(?: [^`]+)?)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def blocks(kind: str) -> list[tuple[str, str]]:
    found = ((page.name, block) for page in PAGES for block in BLOCK.findall(page.read_text(encoding="utf-8")))
    return [(page, text) for page, (name, text) in found if name == kind]


def commands() -> list[str]:
    """What is typed in blocks, without `edgetl` and comments."""
    lines = [line for _, text in blocks("console") for line in text.splitlines() if line.startswith("$ edgetl ")]
    return list(dict.fromkeys(line.removeprefix("$ edgetl ").partition("  #")[0].rstrip() for line in lines))


def in_sentences() -> list[str]:
    """What is typed within sentences and tables: `RUN` and the like stand for something there."""
    found = [typed for page in PAGES for typed in INLINE.findall(page.read_text(encoding="utf-8"))]
    return list(dict.fromkeys(found))


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


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
    assert ">patient</span>" in recipes
    reference = (tmp_path / "site" / "python.html").read_text(encoding="utf-8")
    assert not [name for name in package.__all__ if f'id="edgetl.{name}"' not in reference and name != "__version__"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    """Also where the pages are read without the site, in which an empty text of a link is no text."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for place in LINK.findall(text):
        if place.startswith("http"):
            continue
        name, _, anchor = place.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), place
        assert not anchor or anchor in anchors(target), place
    assert "[](" not in text


def test_every_result_of_a_benchmark_is_listed():
    text = (ROOT / "docs/figures.md").read_text(encoding="utf-8")
    assert not [file.name for file in (ROOT / "benchmarks/results").iterdir() if file.name not in text]


@pytest.mark.parametrize("command", [*commands(), *in_sentences()])
def test_a_command_is_understood(command):
    verb, *typed = shlex.split(command.partition(" > ")[0])
    program = typer.main.get_command(app)
    assert verb in program.commands
    if typed:
        program.commands[verb].make_context(verb, typed, parent=typer.Context(program))


@pytest.fixture(scope="module")
def done_place(finished_run, stripes, tmp_path_factory):
    """A working folder with what the pages speak of: photos, a run, an image, a device."""
    place = tmp_path_factory.mktemp("docs")
    shutil.copytree(finished_run, place / RUN)
    images = (place / RUN / os.path.relpath(stripes, finished_run)).resolve()
    assert place in images.parents
    for copy in (images, place / "photos"):
        shutil.copytree(stripes, copy)
    image = next((place / "photos").rglob("*.png"))
    (place / "photos/val/thing").mkdir(parents=True)
    for name in ("cat.jpg", "photos/val/thing/n02802426_basketball.JPEG"):
        shutil.copy(image, place / name)
    shutil.copy(ROOT / "targets/rpi4.yaml", place / "mine.yaml")
    return place


@pytest.fixture(scope="module")
def new_place(finished_run, stripes, edgetl, tmp_path_factory):
    """A working folder before anything was distilled: photos, some without labels, a teacher, weights, a recipe."""
    place = tmp_path_factory.mktemp("new")
    teacher = finished_run / "teacher"
    shutil.copytree(teacher, place / TEACHER)
    shutil.copytree(stripes, place / "photos")
    for folder, file in (("more", next(stripes.rglob("*.png"))), ("weights", teacher / "model.safetensors")):
        (place / folder).mkdir()
        shutil.copy(file, place / folder)
    assert edgetl("init", "recipe.yaml", "--data", "photos", cwd=place).returncode == 0
    return place


def as_far_as_the_training(typed: list[str]) -> list[str]:
    """The same without training, and without weights that would have to be downloaded."""
    weights = ["--set=student.weights=none", "--set=teacher.weights=weights"] if "auto" in typed else ["--weights=none"]
    return [*(each for each in typed if each not in ("--find-rate", "--dry-run")), "--dry-run", *weights]


@pytest.mark.parametrize("command", commands())
def test_a_command_works(command, edgetl, done_place, new_place, monkeypatch):
    verb, *typed = shlex.split(command.partition(" > ")[0])
    if verb in TRAINING:
        done = edgetl(verb, *as_far_as_the_training(typed), cwd=new_place)
    else:
        if verb in MEASURING:
            monkeypatch.setattr("edgetl.chain.api.execute", lambda plan, *_, **__: RunFolder.open(plan[-1].folder))
        done = edgetl(verb, *(each for each in typed if each != "--open"), cwd=done_place)
        (done_place / "recipe.yaml").unlink(missing_ok=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("page", "example"), blocks("python"))
def test_an_example_works(page, example, done_place, monkeypatch):
    """Training takes minutes and has tests of its own: here its arguments are bound, and a finished run is given."""
    opened, takes = package.open_run(done_place / RUN), inspect.signature(package.run)
    monkeypatch.setattr(package, "run", lambda *given, **named: (takes.bind(*given, **named), opened)[1])
    monkeypatch.chdir(done_place)
    exec(compile(example, page, "exec"), {})
