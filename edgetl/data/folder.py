"""Find the images of a folder of class folders, with or without train, val and test above the classes.

Hidden files are skipped. A folder of a class or split may be a link to another place of the same file system; of all
other links only those are followed that stay inside.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edgetl.errors import DataError
from edgetl.runs.words import counted

__all__ = ["KINDS", "SPLITS", "Classes", "ImageFile", "Listing", "described", "list_images", "list_unsorted"]

Classes = Literal["auto", "first", "last"]
_FEWEST_CLASSES, _SHOWN, _DEEPEST = 2, 3, 50

SPLITS = ("train", "val", "test")
KINDS = "JPEG, PNG, WebP or BMP"

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
_SPELLINGS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_TABLES = frozenset({".csv", ".tsv", ".json", ".jsonl", ".xlsx", ".parquet"})
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
    changed_ns: int
    """When content or attributes last changed: unlike the time of modification, no program sets it back."""

    inode: int
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

    tables: list[str] = field(default_factory=list)
    """Files beside the class folders that may hold labels."""


def list_images(path: Path, classes: Classes = "auto") -> Listing:
    """List the images below a folder by class and, where it has them, by split.

    The folder has splits if train or training in it holds class folders; val, valid, validation, test and testing are
    then read, too.

    Args:
        path: The folder.
        classes: Which folder names the class of an image that lies in folders of folders.

    Raises:
        DataError: There is no such folder, a link leads out of it, or its classes are ambiguous.
    """
    listing = _open(path, "one folder of images per class, or 'digits'")
    splits = _split_folders(listing.root)
    for split, folder in splits.items() or [("", listing.root)]:
        _list_classes(listing, folder, split, by_last=classes == "last")
    listing.files.sort(key=lambda file: file.path)
    if classes == "auto":
        _check_plain(listing)
    return listing


def described(listing: Listing) -> str:
    """What a folder holds, in a line: splits or not, classes, images."""
    sizes = Counter(file.label for file in listing.files)
    splits = Counter(file.split for file in listing.files if file.split)
    smallest, largest = min(sizes.values(), default=0), max(sizes.values(), default=0)
    each = f"{smallest:,}" if smallest == largest else f"{smallest:,} to {largest:,}"
    where = ", ".join(f"{counted(splits[split], 'image')} in {split}/" for split in SPLITS if splits[split])
    found = (
        f"Images: {counted(len(listing.files), 'file')} in {counted(len(sizes), 'class', 'classes')}, {each} of each"
    )
    return f"{found} ({where or 'not split'})."


def _check_plain(listing: Listing) -> None:
    """Make sure that it is plain which folders are the classes: images lie directly in some of them."""
    depths = {(file.path.removeprefix(_top(file)).count("/"), file.label) for file in listing.files}
    outer = sorted({label for _, label in depths})
    if len(outer) < _FEWEST_CLASSES or any(depth == 0 for depth, _ in depths):
        return
    inner = sorted({Path(file.path).parent.name for file in listing.files})
    raise DataError(
        f"{listing.root}: no image lies directly in {_some(outer)}, only in folders such as {_some(inner)}. Which are"
        f" the classes? --set data.classes=first for {_some(outer)}, --set data.classes=last for {_some(inner)}"
    )


def _top(file: ImageFile) -> str:
    """The part of a path up to the class folder, as it is spelt there."""
    parts = file.path.split("/")
    return "/".join(parts[: 2 if file.split else 1]) + "/"


def _some(names: list[str]) -> str:
    return f"{', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}"


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


def _list_classes(listing: Listing, folder: Path, split: str, *, by_last: bool) -> None:
    for entry in _entries(folder, listing.root, may_link=True):
        if not Path(entry).is_dir():
            if _is_image(entry.name):
                listing.strays.append(_relative(entry, listing.root))
            elif Path(entry.name).suffix.lower() in _TABLES:
                listing.tables.append(_relative(entry, listing.root))
            continue
        if not entry.name.isprintable():
            raise DataError(f"{folder}: class folder {entry.name!r} has unprintable characters. Rename it")
        before = len(listing.files)
        home = Path(os.path.realpath(entry)) if entry.is_symlink() else listing.root
        for file in _walk(Path(entry), home, frozenset({str(listing.root)})):
            if _is_image(file.name):
                label = Path(file).parent.name if by_last else entry.name
                listing.files.append(_image_file(file, listing.root, label, split))
            else:
                listing.other_suffixes[Path(file.name).suffix.lower() or "no suffix"] += 1
        if len(listing.files) == before and split in ("", "train"):
            listing.empty_classes.append(_relative(entry, listing.root))


def _split_folders(root: Path) -> dict[str, Path]:
    """Folders by split; empty if the class folders lie directly in the root."""
    folders = [Path(entry) for entry in _entries(root, root, may_link=True) if Path(entry).is_dir()]
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
    if len(above) > _DEEPEST:
        raise DataError(f"{root}: folders lie more than {_DEEPEST} deep in each other. Move the images up")
    for entry in _entries(folder, root):
        if Path(entry).is_dir() if entry.is_symlink() else entry.is_dir():
            yield from _walk(Path(entry), root, above | {real})
        else:
            yield entry


def _entries(folder: Path, root: Path, *, may_link: bool = False) -> list[os.DirEntry[str]]:
    """What is visible in a folder, sorted by name; with `may_link`, folders of it may be links out of the root."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as cause:
        raise DataError(f"{folder}: cannot be listed ({cause.strerror}). Change its permissions") from cause
    visible = [entry for entry in entries if not entry.name.startswith(".") and entry.name not in _LEFT_BY_SYSTEMS]
    for entry in visible:
        if entry.is_symlink() and not Path(os.path.realpath(entry)).is_relative_to(root):
            _check_link(entry, root, may_link=may_link and Path(entry).is_dir())
    return visible


def _check_link(entry: os.DirEntry[str], root: Path, *, may_link: bool) -> None:
    """Check a link that leads out of the root."""
    target = Path(os.path.realpath(entry))
    if not may_link:
        raise DataError(f"{entry.path}: is a link out of {root}. Copy its target here, or remove the link")
    if root.is_relative_to(target):
        raise DataError(f"{entry.path}: is a link to {target}, which it lies in. Remove the link")
    if target.stat().st_dev != root.stat().st_dev:
        raise DataError(f"{entry.path}: is a link to another file system. Copy its target here, or remove the link")


def _has_folders(folder: Path, root: Path) -> bool:
    return any(Path(entry).is_dir() for entry in _entries(folder, root, may_link=True))


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in _SUFFIXES


def _image_file(entry: os.DirEntry[str], root: Path, label: str, split: str) -> ImageFile:
    regular = Path(entry).is_file() if entry.is_symlink() else entry.is_file()
    stat = entry.stat(follow_symlinks=regular)
    # Opening a named pipe would block.
    fault = "" if regular else "is a link to nothing" if entry.is_symlink() else "is no regular file"
    stamps = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
    return ImageFile(_relative(entry, root), label, split, *stamps, fault)


def _relative(entry: os.DirEntry[str], root: Path) -> str:
    return Path(entry).relative_to(root).as_posix()
