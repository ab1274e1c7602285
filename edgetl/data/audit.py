"""Checks of a data set before anything is trained on it."""

import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from edgetl.data.folder import KINDS, ImageFile, Listing
from edgetl.errors import DataError
from edgetl.runs.words import counted

__all__ = ["check_classes", "check_conflicts", "check_counts", "check_coverage", "check_readable"]

_SHOWN = 3


def check_classes(listing: Listing) -> None:
    """Check that there are at least two classes, each with images.

    Raises:
        DataError: There are not.
    """
    root, labels = listing.root, {file.label for file in listing.files}
    if not labels and not listing.empty_classes:
        inside = f" ({_loose(listing)})" if listing.strays or listing.tables else ""
        raise DataError(f"{root}: no class folders{inside}. Put the images of each class in a folder of its name")
    if not labels:
        found = ", ".join(f"{count} {suffix}" for suffix, count in listing.other_suffixes.most_common(_SHOWN))
        raise DataError(f"{root}: no images in its folders (found: {found or 'nothing'}). Give {KINDS} files")
    if listing.empty_classes:
        raise DataError(f"{root / listing.empty_classes[0]}: holds no images. Fill the class folder, or remove it")
    _check_names(root, labels)
    if len(labels) == 1:
        label = labels.pop()
        nested = any(file.path.removeprefix(f"{label}/").count("/") for file in listing.files if not file.split)
        hint = f"Did you mean {root / label}?" if nested else "Add a folder for each other class"
        raise DataError(f"{root}: only one class ({label!r}); a classifier needs at least two. {hint}")


def _loose(listing: Listing) -> str:
    """What lies in a folder without class folders."""
    lie = "lies" if len(listing.strays) == 1 else "lie"
    images = f"{counted(len(listing.strays), 'image')} {lie} directly in it" if listing.strays else ""
    tables = f"{', '.join(listing.tables[:_SHOWN])} cannot be read" if listing.tables else ""
    return "; ".join(part for part in (images, tables) if part)


def _check_names(root: Path, labels: Collection[str]) -> None:
    """Check that no two names of classes look alike, which a file system or a person would take for one."""
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for label in sorted(labels):
        alike[unicodedata.normalize("NFKC", label).strip().casefold()].append(label)
    for names in alike.values():
        if len(names) > 1:
            raise DataError(
                f"{root}: classes {names[0]!r} and {names[1]!r} differ only in case, blanks or how letters are stored."
                " Put their images together, or rename one"
            )


def check_readable(root: Path, unreadable: Mapping[str, str], allowed: int) -> None:
    """Check that no more files are unreadable than the recipe allows.

    Raises:
        DataError: There are more; the message names the first ones.
    """
    if len(unreadable) > allowed:
        named = "; ".join(f"{path}: {reason}" for path, reason in list(unreadable.items())[:_SHOWN])
        more = "; ..." if len(unreadable) > _SHOWN else ""
        raise DataError(
            f"{root}: {len(unreadable)} unreadable image{_s(len(unreadable))}, {allowed} allowed ({named}{more}). "
            f"Repair or remove them, or leave them out with data.max_unreadable={len(unreadable)}"
        )


def check_conflicts(root: Path, files: Iterable[tuple[ImageFile, str]]) -> None:
    """Check that no image has two labels or is in two given splits.

    Args:
        root: The folder, for messages.
        files: Readable files and their SHA-256.

    Raises:
        DataError: One has or is; the message names the first pair and the number of pairs.
    """
    first: dict[str, ImageFile] = {}
    two_labels: list[tuple[ImageFile, ImageFile]] = []
    two_splits: list[tuple[ImageFile, ImageFile]] = []
    for file, sha256 in files:
        other = first.setdefault(sha256, file)
        if other.label != file.label:
            two_labels.append((other, file))
        elif other.split != file.split:
            two_splits.append((other, file))
    if two_labels:
        a, b = two_labels[0]
        raise DataError(
            f"{root}: label conflict: {a.path} and {b.path} are the same image under {a.label!r} and {b.label!r} "
            f"({len(two_labels)} such pair{_s(len(two_labels))}). Keep each under one label"
        )
    if two_splits:
        a, b = two_splits[0]
        raise DataError(
            f"{root}: leakage between splits: {a.path} and {b.path} are the same image in {a.split} and {b.split} "
            f"({len(two_splits)} such pair{_s(len(two_splits))}). Remove one of each pair, or accuracy means nothing"
        )


def check_coverage(root: Path, files: Iterable[ImageFile], given: Collection[str]) -> None:
    """Check that every given split has images, and that train has every class.

    Raises:
        DataError: One has none, or train lacks a class.
    """
    labels: defaultdict[str, set[str]] = defaultdict(set)
    for file in files:
        labels[file.split].add(file.label)
    for split in given:
        if not labels[split]:
            raise DataError(f"{root}: no readable image in the {split} split. Repair its images, or remove its folder")
        unknown = sorted(labels[split] - labels["train"])
        if unknown:
            raise DataError(
                f"{root}: class {unknown[0]!r} is in {split}, but train has no image of it. "
                f"Add some to train, or remove the class from {split}"
            )


def check_counts(root: Path, distinct: Mapping[str, int], needed: int) -> None:
    """Check that each class has an image for every split.

    Args:
        root: The folder, for messages.
        distinct: Distinct readable images by class, of those that are divided.
        needed: Number of splits that they are divided into.

    Raises:
        DataError: A class has fewer images than there are splits.
    """
    few = sorted(label for label, count in distinct.items() if count < needed)
    if few:
        count = distinct[few[0]]
        more = f" ({len(few)} classes have too few)" if len(few) > 1 else ""
        raise DataError(
            f"{root}: class {few[0]!r} has {count} distinct readable image{_s(count)}, but needs at least {needed}, "
            f"one for each split made of them{more}. Add images, remove the class, or bring folders train/, val/ and"
            " test/ of your own"
        )


def _s(count: int) -> str:
    return "" if count == 1 else "s"
