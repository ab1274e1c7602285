"""An array on disk that several processes fill piece by piece, that can grow, and that survives a kill at any moment.

```text
NAME.json         what the array holds, its shape and type; written after the space is taken
NAME.bin          the numbers, row-major; read as a memory map
NAME.RANK.log     a line per piece that a process wrote: view, first image, the one behind the last, SHA-256
```

Views are the first axis, so more views are more bytes at the end, and what is written stays where it is. A piece counts
only if its hash is right, so a file that is cut off, or longer than its JSON says, loses no piece but the torn ones.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from edgetl.runs.files import write_atomic

__all__ = ["ArrayStore", "Piece"]

Piece = tuple[int, int, int]
"""A view, the first image and the one behind the last."""

_FIELDS = 4


@dataclass(frozen=True, eq=False)
class ArrayStore:
    """Numbers by view and image: `(V, N, ...)`."""

    folder: Path
    name: str
    shape: tuple[int, ...]
    dtype: DTypeLike
    about: dict[str, Any]
    """What the numbers depend on; a store of anything else is replaced."""

    @property
    def size_bytes(self) -> int:
        """Bytes of all views."""
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize

    @property
    def new_bytes(self) -> int:
        """Bytes that `prepare` will add on the disk."""
        there = self._bytes_there() if self._views_stated() else 0
        return max(0, self.size_bytes - there)

    def stated(self) -> dict[str, Any] | None:
        """What the JSON on disk says; None if there is none."""
        try:
            stated: dict[str, Any] = json.loads(self._file("json").read_bytes())
        except (OSError, ValueError):
            return None
        return stated

    def prepare(self) -> None:
        """Allocate all views. A store of fewer views grows; one of more views stays as it is.

        All the space is allocated at once, so that a full disk fails now and not in the middle of the work.

        Raises:
            OSError: The disk is full, or we may not write there.
        """
        views = self._views_stated()
        if not views:
            self.folder.mkdir(parents=True, exist_ok=True)
            for old in self.folder.glob(f"{self.name}.*"):
                old.unlink()
        if self._bytes_there() < self.size_bytes:
            self._take_space()
        if views < self.shape[0]:
            write_atomic(self._file("json"), json.dumps(self._statement()))

    def noted(self) -> dict[Piece, set[str]]:
        """The pieces in the logs, each with the SHA-256 of every write; a kill may have torn the last one."""
        found: dict[Piece, set[str]] = {}
        for log in sorted(self.folder.glob(f"{self.name}.*.log")):
            for line in log.read_text().splitlines():
                fields = line.split()
                if len(fields) == _FIELDS and all(field.isdigit() for field in fields[:3]):
                    piece = (int(fields[0]), int(fields[1]), int(fields[2]))
                    found.setdefault(piece, set()).add(fields[3])
        return found

    def finished(self) -> set[Piece]:
        """The pieces of these views whose bytes have the logged hash."""
        numbers = self.read()
        return {piece for piece, sha256s in self.noted().items() if _sha256_of_piece(numbers, piece) in sha256s}

    def write(self, piece: Piece, numbers: NDArray[Any], rank: int) -> None:
        """Write a piece, `(images, ...)`, and log its hash.

        Raises:
            OSError: The disk fails.
        """
        view, start, stop = piece
        content = np.ascontiguousarray(numbers, self.dtype).tobytes()
        offset = (view * self.shape[1] + start) * (len(content) // (stop - start))
        _write_at(self._file("bin"), content, offset)
        line = f"{view} {start} {stop} {hashlib.sha256(content).hexdigest()}\n"
        with self._file(f"{rank}.log").open("a") as log:
            log.write(line)

    def read(self) -> NDArray[Any]:
        """The numbers, memory-mapped."""
        numbers: NDArray[Any] = np.memmap(self._file("bin"), self.dtype, mode="r", shape=self.shape)
        return numbers

    def _file(self, suffix: str) -> Path:
        return self.folder / f"{self.name}.{suffix}"

    def _statement(self) -> dict[str, Any]:
        return {"about": self.about, "shape": list(self.shape), "dtype": np.dtype(self.dtype).str}

    def _views_stated(self) -> int:
        """Views of the store on disk; 0 if anything but their number differs."""
        stated, ours = self.stated(), self._statement()
        if stated is None or stated != ours | {"shape": [*stated.get("shape", [])[:1], *ours["shape"][1:]]}:
            return 0
        return int(stated["shape"][0])

    def _bytes_there(self) -> int:
        file = self._file("bin")
        return file.stat().st_size if file.is_file() else 0

    def _take_space(self) -> None:
        """Allocate the space of all views; existing bytes stay."""
        with self._file("bin").open("ab") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, self.size_bytes)
            except OSError as cause:
                cause.filename = str(self._file("bin"))
                raise


def _sha256_of_piece(numbers: NDArray[Any], piece: Piece) -> str:
    view, start, stop = piece
    return hashlib.sha256(numbers[view, start:stop].tobytes()).hexdigest() if view < len(numbers) else ""


def _write_at(file: Path, content: bytes, offset: int) -> None:
    with file.open("r+b") as out:
        out.seek(offset)
        out.write(content)
