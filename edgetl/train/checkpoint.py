"""Checkpoints of a training: tensors as safetensors, the rest as JSON, both hashed and written atomically.

Two generations are kept. A file is deserialized only if its hash is right. If it is not, the training resumes from the
older generation and repeats the steps between the two.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save

from edgetl.runs.files import hash_of, write_atomic

__all__ = ["Checkpoint", "Rhythm", "load_checkpoint", "save_checkpoint"]

_GENERATIONS = 2
_MOST_OF_THE_TIME = 1 / 30
"""Largest part of the time that saving may take; benchmarks/steps.py measures it."""

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """The state after a whole number of optimizer steps."""

    steps_done: int
    records: list[dict[str, float]]
    """One per finished epoch."""


class Rhythm:
    """Decides when to save, so that saving takes little time even on a slow disk.

    Args:
        seconds: Least time between two saves; 0 saves after every step.
        clock: Tells the time in seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._least = self._wait = seconds
        self._clock = clock
        self._saved_at = clock()

    def is_time(self) -> bool:
        """Whether the next save is due."""
        return self._clock() - self._saved_at >= self._wait

    def save(self, write: Callable[[], None]) -> None:
        """Save, and put off the next save until all saves together take at most 1/30 of the time."""
        start = self._clock()
        write()
        self._saved_at = self._clock()
        if self._least:
            self._wait = max(self._least, (self._saved_at - start) / _MOST_OF_THE_TIME)


def save_checkpoint(folder: Path, inputs: str, state: Checkpoint, tensors: Tensors) -> None:
    """Write a checkpoint; older ones stay valid until it is complete.

    Args:
        folder: The checkpoints of one training, and nothing else.
        inputs: Hash of everything the training depends on; only the same training can resume from it.
        state: Steps and records.
        tensors: Everything else that the training needs to resume exactly.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"step-{state.steps_done:09d}.safetensors"
    # Serialised in memory, so that a full disk raises OSError here and not an error of the library.
    content = save({name: value.contiguous() for name, value in tensors.items()})
    write_atomic(file, content)
    note = {"inputs": inputs, "sha256": _sha256(content), **asdict(state)}
    write_atomic(file.with_suffix(".json"), json.dumps({"note": note, "sha256": hash_of(note)}))
    kept = {path.stem for path in _generations(folder)[:_GENERATIONS]}
    for old in folder.iterdir():
        if old.stem not in kept:  # older generations, and what a killed save left
            old.unlink()


def load_checkpoint(
    folder: Path, inputs: str, on_damage: Callable[[Path], None] = lambda _path: None
) -> tuple[Checkpoint, Tensors] | None:
    """Read the newest undamaged checkpoint of the same training; None if there is none.

    Args:
        folder: Where `save_checkpoint` wrote.
        inputs: Hash of what the training depends on.
        on_damage: Called with each damaged file that is skipped.
    """
    return next(_good(_generations(folder), inputs, on_damage), None)


def _good(
    notes: Iterable[Path], inputs: str, on_damage: Callable[[Path], None]
) -> Iterator[tuple[Checkpoint, Tensors]]:
    for path in notes:
        note = _read_note(path)
        if note is not None and note["inputs"] != inputs:
            continue
        file = path.with_suffix(".safetensors")
        content = file.read_bytes() if file.is_file() else b""
        if note is None or _sha256(content) != note["sha256"]:
            on_damage(file)
        else:
            yield Checkpoint(note["steps_done"], note["records"]), load(content)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _generations(folder: Path) -> list[Path]:
    """Notes of the checkpoints, newest first."""
    return sorted(folder.glob("step-*.json"), reverse=True)


def _read_note(path: Path) -> dict[str, Any] | None:
    try:
        stated = json.loads(path.read_bytes())
        note: dict[str, Any] = stated["note"]
        return note if stated["sha256"] == hash_of(note) else None
    except (ValueError, KeyError, TypeError):  # damaged
        return None
