"""Make the index of a folder: list its images, check them, and split them."""

import statistics
from pathlib import Path

from edgetl.data.audit import check_classes, check_conflicts, check_coverage, check_readable
from edgetl.data.division import Division, Origin, divide
from edgetl.data.folder import KINDS, ImageFile, Listing, list_images
from edgetl.data.index import ImageIndex, Sample
from edgetl.data.survey import survey
from edgetl.recipe.images import DataConfig
from edgetl.runs.reporter import Reporter

__all__ = ["scan"]

_PHOTOS = frozenset({".heic", ".heif", ".avif", ".tif", ".tiff", ".gif", ".jp2", ".dng", ".cr2", ".nef", ".arw"})


def scan(path: Path, config: DataConfig, *, seed: int, reporter: Reporter) -> tuple[ImageIndex, Origin]:
    """Hash and decode every image below a folder, check the data set, and split it.

    Images are split as `divide` says.

    Args:
        path: A folder of class folders, with or without splits above them.
        config: Fractions of the splits, and the number of unreadable files that are allowed.
        seed: Seeds the split.
        reporter: Shows progress, what was left out, and how the images were split.

    Returns:
        The index, and where the validation images come from.

    Raises:
        DataError: The folder cannot be used; the message says what to do.
    """
    listing = list_images(path, config.classes)
    check_classes(listing)
    probes = survey(listing, reporter)
    unreadable = {f.path: probes[f.path].reason for f in listing.files if probes[f.path].reason}
    check_readable(listing.root, unreadable, config.max_unreadable)
    _say_what_was_left_out(listing, unreadable, reporter)
    readable = [file for file in listing.files if file.path not in unreadable]
    sha256s = {file.path: probes[file.path].sha256 for file in readable}
    labels = tuple(sorted({file.label for file in listing.files}))
    division = _division(listing, readable, sha256s, labels, config, seed)
    reporter.say(division.sentence)
    positions = {label: position for position, label in enumerate(labels)}
    samples = tuple(Sample(f.path, positions[f.label], division.splits[f.path], sha256s[f.path]) for f in readable)
    sides = [min(probes[file.path].width, probes[file.path].height) for file in readable]
    return ImageIndex(listing.root, labels, samples, unreadable, statistics.median_low(sides)), division.validation


def _division(
    listing: Listing,
    readable: list[ImageFile],
    sha256s: dict[str, str],
    labels: tuple[str, ...],
    config: DataConfig,
    seed: int,
) -> Division:
    """Check the given splits, and divide off the others."""
    check_conflicts(listing.root, [(file, sha256s[file.path]) for file in readable])
    check_coverage(listing.root, readable, {file.split for file in listing.files} - {""})
    return divide(listing.root, readable, sha256s, labels, config, seed=seed)


def _say_what_was_left_out(listing: Listing, unreadable: dict[str, str], reporter: Reporter) -> None:
    for path, reason in unreadable.items():
        reporter.say(f"Left out: {path}: {reason}.")
    if listing.strays:
        found = f"{len(listing.strays)}, such as {listing.strays[0]}"
        reporter.say(f"Left out: images outside of all class folders ({found}).")
    if listing.other_suffixes:
        found = ", ".join(f"{count} {suffix}" for suffix, count in listing.other_suffixes.most_common())
        cure = " Convert photos among them to JPEG to use them." if _PHOTOS & listing.other_suffixes.keys() else ""
        reporter.say(f"Left out: files that are no {KINDS} ({found}).{cure}")
    if listing.tables:
        reporter.say(f"Not read: {', '.join(listing.tables)}. The folder of an image is its class.")
