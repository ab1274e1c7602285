"""How much space there is where something is to be written, and what it means when there is none."""

import os
import shutil
from pathlib import Path

from edgetl.errors import StorageFault

__all__ = ["existing_part", "free_bytes", "storage_fault"]


def existing_part(path: Path) -> Path:
    """The path itself, or the nearest folder above it that is there."""
    places = (path, *path.absolute().parents)
    return next(place for place in places if os.path.exists(place))  # noqa: PTH110  # Path's raises at too long a name


def free_bytes(path: Path) -> int:
    """Free space on the disk of a path that need not exist yet."""
    return shutil.disk_usage(existing_part(path)).free


def storage_fault(place: Path, cause: OSError) -> StorageFault:
    """Say of an error that `is_storage_fault` recognises where it happened, and how much space is left there."""
    path = Path(os.fsdecode(cause.filename)) if isinstance(cause.filename, str | bytes) else place
    return StorageFault(path, cause, free_bytes(path))
