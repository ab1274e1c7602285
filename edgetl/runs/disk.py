"""How much space is left where a file is to be written, and the error when there is none."""

import errno
import os
import shutil
from pathlib import Path

from edgetl.errors import StorageFault

__all__ = ["check_room", "existing_part", "free_bytes", "storage_fault"]


def existing_part(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    places = (path, *path.absolute().parents)
    return next(place for place in places if os.path.exists(place))  # noqa: PTH110  # Path's raises on long names


def free_bytes(path: Path) -> int:
    """Free space on the disk of a path that need not exist yet."""
    return shutil.disk_usage(existing_part(path)).free


def check_room(place: Path, needed_bytes: int) -> None:
    """Make sure that files can be written, before a library tries that ends the process if they cannot.

    Raises:
        StorageFault: There is less space.
    """
    if free_bytes(place) < needed_bytes:
        raise storage_fault(place, OSError(errno.ENOSPC, "no space left"))


def storage_fault(place: Path, cause: OSError) -> StorageFault:
    """Describe an error that `is_storage_fault` recognises: where it happened, and how much space is left there."""
    path = Path(os.fsdecode(cause.filename)) if isinstance(cause.filename, str | bytes) else place
    return StorageFault(path, cause, free_bytes(path))
