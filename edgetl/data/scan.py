"""Make the index of a folder: list its images, check them, and split them."""

import statistics
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

from edgetl.data.audit import check_classes, check_conflicts, check_counts, check_coverage, check_readable
from edgetl.data.folder import KINDS, ImageFile, Listing, list_images
from edgetl.data.index import ImageIndex, Sample
from edgetl.data.probe import Probe
from edgetl.data.split import assign_splits
from edgetl.data.survey import survey
from edgetl.recipe.fields import DataConfig
from edgetl.runs.reporter import Reporter

__all__ = ["scan"]


def scan(path: Path, config: DataConfig, *, seed: int, reporter: Reporter) -> ImageIndex:
    """Hash and decode every image below a folder, check the data set, and split it.

    A folder without splits is divided by content, class by class. Given splits stay as they are; where val or test is
    missing or empty, it is divided off train in the same way.

    Args:
        path: A folder of class folders, with or without splits above them.
        config: Fractions of the splits, and the number of unreadable files that are allowed.
        seed: Seeds the split.
        reporter: Shows progress, and what was left out.

    Raises:
        DataError: The folder cannot be used; the message says what to do.
    """
    listing = list_images(path)
    check_classes(listing)
    probes = survey(listing, reporter)
    unreadable = {f.path: probes[f.path].reason for f in listing.files if probes[f.path].reason}
    check_readable(listing.root, unreadable, config.max_unreadable)
    _say_what_was_left_out(listing, unreadable, reporter)
    samples, labels = _samples(listing, probes, config, seed)
    sides = [min(probes[sample.path].width, probes[sample.path].height) for sample in samples]
    return ImageIndex(listing.root, labels, samples, unreadable, statistics.median_low(sides))


def _samples(
    listing: Listing, probes: dict[str, Probe], config: DataConfig, seed: int
) -> tuple[tuple[Sample, ...], tuple[str, ...]]:
    """The readable images in their splits, and the labels."""
    readable = [file for file in listing.files if not probes[file.path].reason]
    sha256s = {file.path: probes[file.path].sha256 for file in readable}
    check_conflicts(listing.root, [(file, sha256s[file.path]) for file in readable])
    given = {file.split for file in listing.files} - {""}
    check_coverage(listing.root, readable, given)
    labels = tuple(sorted({file.label for file in listing.files}))
    splits = _divide(listing.root, readable, sha256s, labels, given, config, seed)
    positions = {label: position for position, label in enumerate(labels)}
    samples = (Sample(f.path, positions[f.label], splits[f.path], sha256s[f.path]) for f in readable)
    return tuple(samples), labels


def _divide(
    root: Path,
    files: list[ImageFile],
    sha256s: dict[str, str],
    labels: Collection[str],
    given: Collection[str],
    config: DataConfig,
    seed: int,
) -> dict[str, str]:
    """The split of every file, by path: its own, unless other splits are divided off it."""
    val_fraction = 0.0 if "val" in given else config.val_fraction
    test_fraction = 0.0 if "test" in given else config.test_fraction
    divided = [file for file in files if file.split in ("", "train")]
    distinct: defaultdict[str, set[str]] = defaultdict(set)
    for file in divided:
        distinct[file.label].add(sha256s[file.path])
    needed = 1 + (val_fraction > 0) + (test_fraction > 0)
    check_counts(root, {label: len(distinct[label]) for label in labels}, needed)
    assigned: dict[str, str] = {}
    for found in distinct.values():
        assigned |= assign_splits(found, seed=seed, val_fraction=val_fraction, test_fraction=test_fraction)
    return {f.path: f.split for f in files} | {f.path: assigned[sha256s[f.path]] for f in divided}


def _say_what_was_left_out(listing: Listing, unreadable: dict[str, str], reporter: Reporter) -> None:
    for path, reason in unreadable.items():
        reporter.say(f"Left out: {path}: {reason}.")
    if listing.strays:
        found = f"{len(listing.strays)}, such as {listing.strays[0]}"
        reporter.say(f"Left out: images outside of all class folders ({found}).")
    if listing.other_suffixes:
        found = ", ".join(f"{count} {suffix}" for suffix, count in listing.other_suffixes.most_common(5))
        reporter.say(f"Left out: files that are no {KINDS} ({found}).")
