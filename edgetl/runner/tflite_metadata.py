"""Read one metadata entry of a TFLite file, with nothing but the standard library.

A device's runtime gives no access to metadata, and tflite-runtime brings no flatbuffers library. A flatbuffer is a
tree of tables; a table starts with the distance back to its vtable, which lists where each field is, or 0. Every
position is checked before it is read, so that a damaged file is an error and never a crash.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from .errors import BrokenModel

__all__ = ["read_metadata"]

# Field numbers of schema.fbs.
_MODEL_BUFFERS, _MODEL_METADATA = 4, 6
_METADATA_NAME, _METADATA_BUFFER = 0, 1
_BUFFER_DATA, _BUFFER_OFFSET, _BUFFER_SIZE = 0, 1, 2


def read_metadata(path: Path, name: str) -> str | None:
    """Read the text stored under `name`, or None if the file has no such entry.

    Raises:
        BrokenModel: The file is no TFLite model, is cut short or is damaged.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _find(content, name.encode())
    except (struct.error, _Damaged, UnicodeDecodeError) as cause:
        raise BrokenModel(f"{path}: not a complete TFLite model ({cause})") from cause
    except (OSError, ValueError) as cause:  # an empty file cannot be mapped
        raise BrokenModel(f"{path}: cannot be read ({cause})") from cause


class _Damaged(Exception):
    """A position outside the file."""


def _find(content: mmap.mmap, name: bytes) -> str | None:
    if content[4:8] != b"TFL3":
        raise _Damaged("it does not start as one")
    model = _follow(content, 0)
    for entry in _tables(content, _field(content, model, _MODEL_METADATA)):
        at = _field(content, entry, _METADATA_NAME)
        if at is not None and _vector(content, at) == name:
            number = _field(content, entry, _METADATA_BUFFER)
            index = 0 if number is None else _number(content, number, "<I")
            return _buffer(content, model, index).decode()
    return None


def _buffer(content: mmap.mmap, model: int, index: int) -> bytes:
    buffers = _tables(content, _field(content, model, _MODEL_BUFFERS))
    if index >= len(buffers):
        raise _Damaged(f"buffer {index} of {len(buffers)}")
    buffer = buffers[index]
    start, size = _field(content, buffer, _BUFFER_OFFSET), _field(content, buffer, _BUFFER_SIZE)
    if start is not None and size is not None:
        # Models of more than 2 GB keep their buffers behind the flatbuffer.
        return _bytes(content, _number(content, start, "<Q"), _number(content, size, "<Q"))
    data = _field(content, buffer, _BUFFER_DATA)
    return b"" if data is None else _vector(content, data)


def _field(content: mmap.mmap, table: int, number: int) -> int | None:
    """Where a table's field is, or None if it has its default."""
    vtable = table - _number(content, table, "<i")
    entry = 4 + 2 * number
    if entry >= _number(content, vtable, "<H"):
        return None
    offset = _number(content, vtable + entry, "<H")
    return table + offset if offset else None


def _tables(content: mmap.mmap, at: int | None) -> list[int]:
    """Positions of the tables in a vector of tables."""
    if at is None:
        return []
    start = _follow(content, at)
    count = _number(content, start, "<I")
    _bytes(content, start + 4, 4 * count)  # all of it must be there before a long list is made
    return [_follow(content, start + 4 + 4 * i) for i in range(count)]


def _vector(content: mmap.mmap, at: int) -> bytes:
    """Content of a string or of a vector of bytes."""
    start = _follow(content, at)
    return _bytes(content, start + 4, _number(content, start, "<I"))


def _follow(content: mmap.mmap, at: int) -> int:
    return at + _number(content, at, "<I")


def _number(content: mmap.mmap, at: int, code: str) -> int:
    value: int = struct.unpack(code, _bytes(content, at, struct.calcsize(code)))[0]
    return value


def _bytes(content: mmap.mmap, start: int, count: int) -> bytes:
    if start < 0 or start + count > len(content):
        raise _Damaged(f"position {start + count} of {len(content)}")
    return content[start : start + count]
