"""Which images a command works on: files, folders, a list of them, or noise where none are given."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from .contract import Contract
from .errors import RunnerError

__all__ = ["find_images", "noise_jpegs", "read_list"]

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
_LEFT_BY_SYSTEMS = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})
_NOISE_IMAGES = 4


def find_images(paths: Sequence[Path]) -> list[Path]:
    """Find images in the order given: a file as it is, of a folder all images below it, sorted by path.

    In a folder, an image is what ends like one; what is hidden is passed over.

    Raises:
        RunnerError: A path does not exist, or a folder cannot be listed or holds no image.
    """
    return [image for path in paths for image in (_below(path) if path.is_dir() else [_existing(path)])]


def read_list(path: Path) -> list[Path]:
    """Read a JSON array of image paths.

    Raises:
        RunnerError: It cannot be read, is something else, or is empty.
    """
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise RunnerError(f"{path}: cannot be read as a list of images ({cause})") from cause
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise RunnerError(f"{path}: expected a JSON array of image paths, at least one")
    return [Path(name) for name in names]


def noise_jpegs(contract: Contract, *, seed: int = 0) -> list[bytes]:
    """Make a few JPEG files of uniform noise, as large as the model's input; equal seeds give equal pixels."""
    rng = np.random.default_rng(seed)
    shape = (_NOISE_IMAGES, contract.height, contract.width, 3)
    return [_jpeg(Image.fromarray(pixels)) for pixels in rng.integers(0, 256, size=shape, dtype=np.uint8)]


def _jpeg(image: Image.Image) -> bytes:
    content = BytesIO()
    image.save(content, "JPEG")
    return content.getvalue()


def _existing(path: Path) -> Path:
    if not path.exists():
        raise RunnerError(f"{path}: no such file or folder")
    return path


def _below(folder: Path) -> list[Path]:
    found = [path for path in _walk(folder, frozenset()) if path.suffix.lower() in _SUFFIXES]
    if not found:
        raise RunnerError(f"{folder}: holds no images (files that end in {', '.join(sorted(_SUFFIXES))})")
    # As edgetl's data room sorts them, so that recorded probabilities are in the same order.
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _walk(folder: Path, above: frozenset[str]) -> Iterator[Path]:
    """All visible files below a folder, through links, too; `above` are the real paths of the folders walked."""
    real = os.path.realpath(folder)
    if real in above:
        return  # a link back up: everything there is already being walked
    for path in _entries(folder):
        if path.is_dir():
            yield from _walk(path, above | {real})
        else:
            yield path


def _entries(folder: Path) -> list[Path]:
    try:
        paths = list(folder.iterdir())
    except OSError as cause:
        raise RunnerError(f"{folder}: cannot be listed ({cause.strerror})") from cause
    return [path for path in paths if not path.name.startswith(".") and path.name not in _LEFT_BY_SYSTEMS]
