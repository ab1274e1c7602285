"""A run folder that somebody edited: every verb ends in its result or in one line, never in a traceback."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from shell import Edgetl

HOSTILE: tuple[Any, ...] = (None, -1, "", "../../victim", "/abs/victim", [], {}, [1], {"a": 1}, True, 1e308)
VERBS = ("report", "verify", "bench", "export", "quantize", "explain")
REPORTS = (
    "verify.json", "bench.json", "quantize.json", "data.json", "metrics.jsonl", "predictions.npz", "model.safetensors",
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in nested data: every key, and of a list its first entry."""
    children = list(value.items()) if isinstance(value, dict) else list(enumerate(value))[:1]
    for key, child in children:
        yield (*path, key)
        if isinstance(child, dict | list):
            yield from places(child, (*path, key))


def edited(manifest: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = json.loads(json.dumps(manifest))
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


def of_interest(path: tuple[Any, ...]) -> bool:
    """Fields of the recipe are many and alike: a few stand for all."""
    return "recipe" not in path[:-1] or path[-1] in ("path", "epochs", "formats", "threads", "weights", "target")


@pytest.fixture
def outcome(edgetl: Edgetl, tmp_path: Path):
    """Run a verb and say what is wrong with how it ended; empty if nothing is."""
    victim = tmp_path / "victim"
    victim.write_text("mine")

    def run(verb: str, run_folder: Path) -> str:
        done = edgetl(verb, run_folder, cwd=tmp_path)
        if "Traceback" in done.stderr or done.returncode not in (0, 1, 2, 4):
            return f"{verb}: {done.stderr.strip().splitlines()[-1]}"
        if done.returncode and len([line for line in done.stderr.splitlines() if line.startswith("edgetl: ")]) != 1:
            return f"{verb}: not one line: {done.stderr}"
        return "" if victim.read_text() == "mine" else f"{verb}: touched a file outside"

    return run


@pytest.mark.drill
def test_no_edit_of_a_manifest_ends_in_a_traceback(outcome, finished_run: Path, tmp_path: Path):
    """Most are refused when the folder is opened; what is harmless lets the verb do its work."""
    run_folder = Path(shutil.copytree(finished_run, tmp_path / "run"))
    whole = json.loads((run_folder / "manifest.json").read_text())
    found, count = [], 0
    for number, path in enumerate(filter(of_interest, places(whole))):
        for turn in range(2):
            value = HOSTILE[(number + 5 * turn) % len(HOSTILE)]
            (run_folder / "manifest.json").write_text(json.dumps(edited(whole, path, value)))
            count += 1
            # A report is quick, and reads nearly everything; the others take their turns.
            verb = VERBS[number % len(VERBS)] if number % 5 == 0 and turn == 0 else "report"
            if problem := outcome(verb, run_folder):
                found.append(f"{'.'.join(map(str, path))} = {value!r}: {problem}")
            if verb != "report":
                shutil.rmtree(run_folder)
                shutil.copytree(finished_run, run_folder)
    assert count > 200
    assert not found, "\n".join(found)


@pytest.mark.drill
@pytest.mark.parametrize("name", REPORTS)
def test_no_damage_to_a_file_ends_in_a_traceback(name, outcome, finished_run: Path, tmp_path: Path):
    content = (finished_run / name).read_bytes()
    for damage in (b"", content[: len(content) // 2], content[::-1], b"{}", b"[]", b"\x00" * len(content)):
        for verb in ("report", "verify", "bench"):
            run_folder = Path(shutil.copytree(finished_run, tmp_path / "run"))
            (run_folder / name).write_bytes(damage)
            assert outcome(verb, run_folder) == ""
            shutil.rmtree(run_folder)


@pytest.mark.drill
def test_a_forger_who_also_mends_the_hashes_gets_no_traceback(outcome, finished_run: Path, tmp_path: Path):
    """Hashes that fit do not make the content right."""
    from edgetl.runs.files import sha256_of

    found = []
    for name in REPORTS[:4]:
        whole = json.loads((finished_run / name).read_text())
        for number, path in enumerate(list(places(whole))[:60]):
            run_folder = Path(shutil.copytree(finished_run, tmp_path / "run"))
            file = run_folder / name
            file.write_text(json.dumps(edited(whole, path, HOSTILE[number % len(HOSTILE)])))
            manifest = json.loads((run_folder / "manifest.json").read_text())
            manifest["files"][name] |= {"sha256": sha256_of(file), "bytes": file.stat().st_size}
            (run_folder / "manifest.json").write_text(json.dumps(manifest))
            if problem := outcome("report", run_folder):
                found.append(f"{name}: {'.'.join(map(str, path))} = {HOSTILE[number % len(HOSTILE)]!r}: {problem}")
            shutil.rmtree(run_folder)
    assert not found, "\n".join(found)
