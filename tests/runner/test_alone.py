"""The runner imports nothing of edgetl, so that the same folder is also a distribution of its own."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import edgetl
import edgetl.runner

ROOT = Path(__file__).parents[2]
ROOM = ROOT / "edgetl" / "runner"
FILES = sorted(ROOM.rglob("*.py"))
BESIDE = {"numpy", "PIL", "tflite_runtime", "__future__"}


def imports_of(file: Path) -> tuple[set[str], int]:
    """Names at the top of absolute imports, and how many folders up the farthest relative one reaches."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    absolute = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    absolute |= {str(node.module) for node in froms if node.level == 0}
    return {name.partition(".")[0] for name in absolute}, max((node.level for node in froms), default=0)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOM)))
def test_a_file_imports_its_neighbours_by_relative_names_and_nothing_of_edgetl(file):
    names, levels_up = imports_of(file)
    assert names - set(sys.stdlib_module_names) <= BESIDE
    assert levels_up <= len(file.relative_to(ROOM).parts), "it must not reach out of the room"


def test_both_distributions_have_one_version():
    assert edgetl.runner.__version__ == edgetl.__version__


def test_the_licence_is_the_projects():
    assert (ROOM / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_importing_the_package_loads_nothing_but_has_the_names():
    assert edgetl.runner.Model.__name__ == "Model"
    with pytest.raises(AttributeError, match=r"module 'edgetl\.runner' has no attribute 'nothing'"):
        _ = edgetl.runner.nothing
    code = "import sys, edgetl.runner; print({'numpy', 'PIL', 'onnxruntime'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
    assert set(edgetl.runner.__all__) == set(dir(edgetl.runner))
