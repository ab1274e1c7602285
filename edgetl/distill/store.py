"""An array on disk that many processes fill, piece by piece, and that knows after a kill which pieces are whole.

```text
NAME.json         what the array holds, its shape and type; written last when it is made, so that it is whole or absent
NAME.bin          the numbers, row-major; read as a memory map
NAME.RANK.log     a line per piece that a process wrote: view, first and last image, SHA-256
```
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
    """What decides the numbers; another array is made for another."""

    @property
    def size_bytes(self) -> int:
        """On disk."""
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize

    def stated(self) -> dict[str, Any] | None:
        """What the array that is there says of itself; None if there is none."""
        try:
            stated: dict[str, Any] = json.loads(self._file("json").read_bytes())
        except (OSError, ValueError):
            return None
        return stated

    def prepare(self) -> None:
        """Make the empty array, unless it is there; the whole space is taken at once, so that a full disk shows now.

        Raises:
            OSError: The disk is full, or not ours to write.
        """
        wanted = {"about": self.about, "shape": list(self.shape), "dtype": np.dtype(self.dtype).str}
        if self.stated() == wanted and self._is_whole():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        for old in self.folder.glob(f"{self.name}.*"):
            old.unlink()
        self._take_space()
        write_atomic(self._file("json"), json.dumps(wanted))

    def noted(self) -> dict[Piece, set[str]]:
        """The pieces that the logs name, with the SHA-256 of each writing; a kill may have torn one."""
        found: dict[Piece, set[str]] = {}
        for log in sorted(self.folder.glob(f"{self.name}.*.log")):
            for line in log.read_text().splitlines():
                fields = line.split()
                if len(fields) == _FIELDS and all(field.isdigit() for field in fields[:3]):
                    piece = (int(fields[0]), int(fields[1]), int(fields[2]))
                    found.setdefault(piece, set()).add(fields[3])
        return found

    def finished(self) -> set[Piece]:
        """The pieces that are written and whole."""
        numbers = self.read()
        return {piece for piece, sha256s in self.noted().items() if _sha256_of_piece(numbers, piece) in sha256s}

    def write(self, piece: Piece, numbers: NDArray[Any], rank: int) -> None:
        """Write a piece, `(images, ...)`, and note it.

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

    def _is_whole(self) -> bool:
        file = self._file("bin")
        return file.is_file() and file.stat().st_size == self.size_bytes

    def _take_space(self) -> None:
        with self._file("bin").open("wb") as file:
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
