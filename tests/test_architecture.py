"""What a machine can check of the house: imports go down, files stay small, the way in is light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "edgetl"
MAX_LINES = 400

# The floors, from the ground up. A room imports from the floors below it; rooms of one floor do not know each other.
ROWS = [
    {"errors", "runner"},
    {"recipe"},
    {"devices"},
    {"runs"},
    {"data"},
    {"zoo"},
    {"train", "export"},
    {"distill", "prune"},
    {"quantize"},
    {"verify", "bench", "explain"},
    {"report"},
    {"chain"},
    {"cli"},
    {"__main__"},
]
ROW_OF = {room: number for number, row in enumerate(ROWS) for room in row}
MODULES = sorted(PACKAGE.rglob("*.py"))
HEAVY = ("torch", "onnxruntime", "openvino", "ai_edge_litert", "timm", "numpy", "pydantic", "yaml", "PIL")


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    modules += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    return {name.split(".")[1] for name in modules if name.startswith("edgetl.")}


def test_every_room_has_a_row():
    assert {room_of(file) for file in MODULES} - {"__init__"} == set(ROW_OF)


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_go_down_and_siblings_never_meet(file):
    room = room_of(file)
    if room == "__init__":
        return  # only names, found when they are used
    wrong = {other for other in imported_rooms(file) if other != room and ROW_OF[other] >= ROW_OF[room]}
    assert not wrong, f"{room} must not import {wrong}"


def test_no_file_outgrows_its_idea():
    long = {str(f.relative_to(ROOT)): n for f in MODULES if (n := len(f.read_text().splitlines())) > MAX_LINES}
    assert long == {}


@pytest.mark.parametrize("statement", ["import edgetl", "from edgetl.cli import app; app(['--help'])"])
def test_the_way_in_loads_nothing_heavy(statement):
    report = f"import sys, atexit; atexit.register(lambda: print([m for m in {HEAVY} if m in sys.modules])); "
    done = subprocess.run([sys.executable, "-c", report + statement], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_public_names_are_there():
    import edgetl

    assert all(getattr(edgetl, name) is not None for name in edgetl.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = edgetl.nothing
