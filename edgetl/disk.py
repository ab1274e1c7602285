"""How much space there is where something is to be written."""

import os
import shutil
from pathlib import Path

__all__ = ["existing_part", "free_bytes"]


def existing_part(path: Path) -> Path:
    """The path itself, or the nearest folder above it that is there."""
    return next(place for place in (path, *path.absolute().parents) if os.path.exists(place))  # noqa: PTH110  # Path.exists raises where a name is too long


def free_bytes(path: Path) -> int:
    """Free space on the disk of a path that need not exist yet."""
    return shutil.disk_usage(existing_part(path)).free
