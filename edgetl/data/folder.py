"""Find the images of a folder of class folders, with or without train, val and test above the classes.

Hidden files are skipped. Only links inside the folder are followed: the target of any other could change unnoticed.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edgetl.errors import DataError

__all__ = ["KINDS", "SPLITS", "ImageFile", "Listing", "list_images", "list_unsorted"]

SPLITS = ("train", "val", "test")
KINDS = "JPEG, PNG, WebP or BMP"

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
_SPELLINGS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_LEFT_BY_SYSTEMS = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})


@dataclass(frozen=True)
class ImageFile:
    """A file with the suffix of an image, not yet opened."""

    path: str
    """Relative to the root, with '/'."""

    label: str
    split: str
    """One of SPLITS, or empty where the folder does not say."""

    size_bytes: int
    modified_ns: int
    fault: str = ""
    """Why it cannot be opened, if that is known from the kind of file."""


@dataclass
class Listing:
    """The content of a folder."""

    root: Path
    """Absolute, links resolved."""

    files: list[ImageFile] = field(default_factory=list)
    empty_classes: list[str] = field(default_factory=list)
    """Class folders without a single image, relative to the root."""

    strays: list[str] = field(default_factory=list)
    """Images outside of all class folders, relative to the root."""

    other_suffixes: Counter[str] = field(default_factory=Counter)
    """Suffixes of the files in class folders that are no images."""


def list_images(path: Path) -> Listing:
    """List the images below a folder by class and, where it has them, by split.

    The folder has splits if train or training in it holds class folders; val, valid, validation, test and testing are
    then read, too.

    Raises:
        DataError: There is no such folder, a link leads out of it, or its classes are ambiguous.
    """
    listing = _open(path, "one folder of images per class, or 'digits'")
    splits = _split_folders(listing.root)
    for split, folder in splits.items() or [("", listing.root)]:
        _list_classes(listing, folder, split)
    listing.files.sort(key=lambda file: file.path)
    return listing


def list_unsorted(path: Path) -> Listing:
    """List all images below a folder, whatever the names of the folders.

    Raises:
        DataError: There is no such folder, or a link leads out of it.
    """
    listing = _open(path, "images")
    for file in _walk(listing.root, listing.root, frozenset()):
        if _is_image(file.name):
            listing.files.append(_image_file(file, listing.root, "", ""))
    listing.files.sort(key=lambda file: file.path)
    return listing


def _open(path: Path, content: str) -> Listing:
    if not path.is_dir():
        problem = "is a file, not a folder" if path.exists() else "no such folder"
        raise DataError(f"{path}: {problem}. Give a folder that has {content}")
    return Listing(Path(os.path.realpath(path)))


def _list_classes(listing: Listing, folder: Path, split: str) -> None:
    for entry in _entries(folder, listing.root):
        if not Path(entry).is_dir():
            if _is_image(entry.name):
                listing.strays.append(_relative(entry, listing.root))
            continue
        if not entry.name.isprintable():
            raise DataError(f"{folder}: class folder {entry.name!r} has unprintable characters. Rename it")
        before = len(listing.files)
        for file in _walk(Path(entry), listing.root, frozenset({str(listing.root)})):
            if _is_image(file.name):
                listing.files.append(_image_file(file, listing.root, entry.name, split))
            else:
                listing.other_suffixes[Path(file.name).suffix.lower() or "no suffix"] += 1
        if len(listing.files) == before and split in ("", "train"):
            listing.empty_classes.append(_relative(entry, listing.root))


def _split_folders(root: Path) -> dict[str, Path]:
    """Folders by split; empty if the class folders lie directly in the root."""
    folders = [Path(entry) for entry in _entries(root, root) if Path(entry).is_dir()]
    named = [folder for folder in folders if folder.name.lower() in _SPELLINGS and _has_folders(folder, root)]
    splits: dict[str, Path] = {}
    for folder in named:
        split = _SPELLINGS[folder.name.lower()]
        if split in splits:
            raise DataError(f"{root}: both {splits[split].name}/ and {folder.name}/ name the {split} split. Keep one")
        splits[split] = folder
    if "train" in splits:
        _check_beside(root, [folder for folder in folders if folder not in named])
        return {split: splits[split] for split in SPLITS if split in splits}
    if named and len(named) == len(folders):
        raise DataError(f"{root}: has {' and '.join(f.name for f in named)}, but no train folder. Add one")
    return {}


def _check_beside(root: Path, others: list[Path]) -> None:
    for folder in others:
        if not any(_is_image(file.name) for file in _walk(folder, root, frozenset({str(root)}))):
            continue
        if folder.name.lower() in _SPELLINGS:
            raise DataError(f"{folder}: holds images, but no class folders. Sort them into classes, or move it away")
        raise DataError(f"{folder}: holds images beside train/, but is no split. Move it away, or into train/")


def _walk(folder: Path, root: Path, above: frozenset[str]) -> Iterator[os.DirEntry[str]]:
    """All files below a folder; `above` are the real paths of the folders that the walk is in."""
    real = os.path.realpath(folder)
    if real in above:
        return  # a link to a folder above, whose content is being listed already
    for entry in _entries(folder, root):
        if Path(entry).is_dir() if entry.is_symlink() else entry.is_dir():
            yield from _walk(Path(entry), root, above | {real})
        else:
            yield entry


def _entries(folder: Path, root: Path) -> list[os.DirEntry[str]]:
    """What is visible in a folder, sorted by name."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as cause:
        raise DataError(f"{folder}: cannot be listed ({cause.strerror}). Change its permissions") from cause
    visible = [entry for entry in entries if not entry.name.startswith(".") and entry.name not in _LEFT_BY_SYSTEMS]
    for entry in visible:
        if entry.is_symlink() and not Path(os.path.realpath(entry)).is_relative_to(root):
            raise DataError(f"{entry.path}: is a link out of {root}. Copy its target here, or remove the link")
    return visible


def _has_folders(folder: Path, root: Path) -> bool:
    return any(Path(entry).is_dir() for entry in _entries(folder, root))


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in _SUFFIXES


def _image_file(entry: os.DirEntry[str], root: Path, label: str, split: str) -> ImageFile:
    regular = Path(entry).is_file() if entry.is_symlink() else entry.is_file()
    stat = entry.stat(follow_symlinks=regular)
    # Opening a named pipe would block.
    fault = "" if regular else "is a link to nothing" if entry.is_symlink() else "is no regular file"
    return ImageFile(_relative(entry, root), label, split, stat.st_size, stat.st_mtime_ns, fault)


def _relative(entry: os.DirEntry[str], root: Path) -> str:
    return Path(entry).relative_to(root).as_posix()
