"""The embedded data set: scikit-learn's 1,797 handwritten digits of 8 x 8 pixels, as a folder of class folders."""

import os
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from edgetl.data.cache import cache_folder
from edgetl.errors import EnvironmentFault
from edgetl.runs.installed import require

__all__ = ["DIGITS", "digits_folder", "digits_place"]

DIGITS = "digits"
"""The value of `data.path` for this set, even where a folder of that name exists (which is './digits')."""

_VERSION = "digits-v1"
_COUNTS = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)
_FILE_BYTES = 14 + 40 + 4 * 256 + 8 * 8  # two headers, a grey palette, the pixels


def digits_place() -> Path:
    """Where the set is or will be written."""
    return Path(os.path.realpath(cache_folder() / _VERSION))


def digits_folder() -> Path:
    """Return the folder of the digits, which is written once per machine; whole or absent at any moment.

    The files are BMP, whose bytes are the pixels: the split depends on the bytes, and those of a PNG on the version of
    zlib.

    Raises:
        MissingExtra: The set is not there yet, and scikit-learn is not installed.
        EnvironmentFault: The cache cannot be written.
    """
    place = digits_place()
    if not _is_complete(place):
        require("train")
        try:
            _build(place)
        except OSError as cause:
            problem = f"the digits cannot be written ({cause.strerror})"
            raise EnvironmentFault(f"{place}: {problem}. Set XDG_CACHE_HOME to a folder that can") from cause
    return place


def _is_complete(place: Path) -> bool:
    def whole_files(label: int) -> int:
        folder = place / str(label)
        return sum(f.stat().st_size == _FILE_BYTES for f in folder.glob("*.bmp")) if folder.is_dir() else 0

    return all(whole_files(label) == count for label, count in enumerate(_COUNTS))


def _build(place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{_VERSION}.", dir=place.parent) as beside:
        fresh = Path(beside) / "fresh"
        _write(fresh)
        if place.exists():  # incomplete
            place.replace(Path(beside) / "old")
        try:
            fresh.replace(place)
        except OSError:
            if not _is_complete(place):  # another run may have written the same files first
                raise


def _write(folder: Path) -> None:
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    grey_NHW = np.rint(values.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    for label in range(len(_COUNTS)):
        (folder / str(label)).mkdir(parents=True)
    for index, (grey_HW, label) in enumerate(zip(grey_NHW, labels, strict=True)):
        Image.fromarray(grey_HW).save(folder / str(label) / f"{index:04d}.bmp")
