"""Files and their hashes: written whole or not at all."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

__all__ = ["hash_of", "sha256_of", "shipped_bytes", "sync_names", "write_atomic", "write_json"]


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_of(value: Any) -> str:
    """SHA-256 of JSON-like data, independent of the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a file atomically: at any moment it is the old or the new one, and a failure leaves nothing behind."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_names(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write plain data as a human-readable JSON file; whole or not at all."""
    write_atomic(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def shipped_bytes(artifact: Path) -> int:
    """Size of what must be shipped: OpenVINO keeps the weights in a second file."""
    weights = artifact.with_suffix(".bin")
    beside = weights.stat().st_size if artifact.suffix == ".xml" and weights.is_file() else 0
    return artifact.stat().st_size + beside


def sync_names(folder: Path) -> None:
    """Make sure that the renames in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
