"""How much space there is where something is to be written."""

import os
import shutil
from pathlib import Path

__all__ = ["existing_part", "free_bytes"]


def existing_part(path: Path) -> Path:
    """The path itself, or the nearest folder above it that is there."""
    places = (path, *path.absolute().parents)
    return next(place for place in places if os.path.exists(place))  # noqa: PTH110  # Path's raises at too long a name


def free_bytes(path: Path) -> int:
    """Free space on the disk of a path that need not exist yet."""
    return shutil.disk_usage(existing_part(path)).free
