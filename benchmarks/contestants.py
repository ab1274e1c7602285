"""The contestants of the transfer benchmarks: what each runs, how long that takes, and what it answers.

Each runs as a process of its own, and its seconds are those of the whole process. A finished one is not run again.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "Cell",
    "Record",
    "judged_further",
    "logistic",
    "measured",
    "measured_edgetl",
    "measured_student",
    "timed",
    "tutorial",
]

_ROOT = Path(__file__).parents[1]
_PEERS = Path(__file__).parent / "peers"

Record = dict[str, Any]
"""`top1`, `seconds`, and `right`: a `1` for each test image that is right, a `0` for each other."""


@dataclass(frozen=True)
class Cell:
    """What all contestants get."""

    data: Path
    size: int
    network: str
    weights: Path
    seed: int
    out: Path
    """Folder of their records."""

    def task(self) -> list[object]:
        """The options of a peer."""
        return [
            *("--data", self.data, "--model", self.network, "--weights", self.weights),
            *("--size", self.size, "--seed", self.seed),
        ]


def logistic(views: int) -> list[object]:
    """Logistic regression on features of the plain images, or of so many views."""
    return ["logistic.py", "--views", views]


def tutorial(epochs: int, *, frozen: bool) -> list[object]:
    """The tutorial, of all weights or of the head alone."""
    return ["tutorial.py", "--epochs", epochs, *(["--frozen"] if frozen else [])]


def measured(cell: Cell, name: str, command: list[object], python: str = sys.executable) -> Record:
    """Run a peer, or read what it found before.

    Args:
        cell: The task.
        name: Of its record; it tells apart commands that differ.
        command: A script of `peers/`, and options beside the task's.
        python: An interpreter that has the peer's library.
    """
    file = cell.out / f"{name}.json"
    if file.is_file():
        return _read(file)
    script, *options = command
    seconds, text = timed([python, _PEERS / str(script), *cell.task(), *options])
    return _kept(file, {"seconds": seconds, **json.loads(text)})


def measured_edgetl(cell: Cell, *options: str, name: str = "edgetl") -> Record:
    """Run `edgetl finetune`, or read what it found before; `learned` is what its manifest says of the strategy."""
    return _made(cell, name, "finetune", ["--model", cell.network, "--weights", cell.weights, *options])


def measured_student(cell: Cell, teacher: Path, *, name: str) -> Record:
    """Run `edgetl distill` with the run folder of a teacher, or read what it found before."""
    student = ["--student", cell.network, "--set", f"student.weights={cell.weights}"]
    return _made(cell, name, "distill", ["--teacher", teacher, *student])


def judged_further(cell: Cell, name: str, images: Path) -> Record:
    """The record of a network of edgetl, judged by further images as well.

    Args:
        cell: Its task.
        name: Of its record.
        images: A folder for each class.
    """
    record, file = _read(cell.out / f"{name}.json"), cell.out / f"{name}-further.json"
    if file.is_file():
        further = _read(file)
    else:
        _, text = timed([sys.executable, _PEERS / "edgetl_answers.py", cell.out / name, "--images", images])
        further = _kept(file, json.loads(text))
    right = record["right"] + further["right"]
    return record | {"right": right, "top1": right.count("1") / len(right)}


def _made(cell: Cell, name: str, verb: str, options: list[object]) -> Record:
    file, run = cell.out / f"{name}.json", cell.out / name
    if file.is_file():
        return _read(file)
    shutil.rmtree(run, ignore_errors=True)  # continued, it would take less time
    task = ["--data", cell.data, "--seed", cell.seed, "--out", run, "--set", f"data.image_size={cell.size}"]
    seconds, _ = timed([sys.executable, "-m", "edgetl", verb, *task, *options])
    manifest = json.loads((run / "manifest.json").read_text())
    _, text = timed([sys.executable, _PEERS / "edgetl_answers.py", run])
    answers, stated = json.loads(text), manifest["metrics"][verb]["test_top1"]
    if abs(answers["top1"] - stated) > 1e-9:
        raise SystemExit(f"{run}: says that {stated} are right, but {answers['top1']} are")
    learned = manifest["stages"][verb].get("learned")
    return _kept(file, {"seconds": seconds, **answers, **({"learned": learned} if learned else {})})


def timed(command: list[object]) -> tuple[float, str]:
    """Run a process with this checkout's edgetl; returns its seconds and what it printed."""
    start = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    process = subprocess.run(list(map(str, command)), env=environment, cwd=_ROOT, stdout=subprocess.PIPE, text=True)
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: ended with exit code {process.returncode}")
    return round(time.perf_counter() - start, 2), process.stdout


def _read(file: Path) -> Record:
    record: Record = json.loads(file.read_text())
    return record


def _kept(file: Path, record: Record) -> Record:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".tmp")
    partial.write_text(json.dumps(record))
    partial.replace(file)
    return record
