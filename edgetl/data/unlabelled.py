"""A folder of images without labels: for a student that learns from its teacher alone, or for calibration."""

import os
from collections.abc import Sequence
from pathlib import Path

from edgetl.data.audit import check_readable
from edgetl.data.folder import KINDS, list_unsorted
from edgetl.data.index import UNLABELLED, ImageIndex, Sample
from edgetl.data.survey import survey
from edgetl.errors import DataError
from edgetl.runs.reporter import Reporter

__all__ = ["scan_unlabelled", "unjudged_images"]

_SHOWN = 3


def scan_unlabelled(path: Path, index: ImageIndex, *, max_unreadable: int, reporter: Reporter) -> tuple[Sample, ...]:
    """Find every image below a folder; those of the training split are left out.

    Args:
        path: The folder.
        index: The labelled images.
        max_unreadable: Unreadable files that may be left out.
        reporter: Shows progress, and what was left out.

    Raises:
        DataError: The folder cannot be used, or shows images of the test or validation split.
    """
    sha256s = unjudged_images(path, index, max_unreadable=max_unreadable, reporter=reporter)
    known = {sample.sha256 for sample in index.split("train")}
    found: dict[str, Sample] = {}
    for place, sha256 in sha256s.items():
        if sha256 not in known:
            found.setdefault(sha256, Sample(place, UNLABELLED, "unlabelled", sha256))
    left_out = len(sha256s) - len(found)
    if left_out:
        reporter.say(f"Left out of the unlabelled images: {left_out} that are copies of others or of training images.")
    if not found:
        raise DataError(f"{path}: every image in it is a training image already. Give other images")
    return tuple(found.values())


def unjudged_images(path: Path, index: ImageIndex, *, max_unreadable: int, reporter: Reporter) -> dict[str, str]:
    """Find every image below a folder; returns the SHA-256 of each by absolute path.

    Args:
        path: The folder.
        index: The labelled images.
        max_unreadable: Unreadable files that may be left out.
        reporter: Shows progress.

    Raises:
        DataError: The folder cannot be used, or shows images of the test or validation split.
    """
    listing = list_unsorted(path)
    if not listing.files:
        raise DataError(f"{path}: no images in it or below. Give {KINDS} files")
    probes = survey(listing, reporter)
    unreadable = {f.path: probes[f.path].reason for f in listing.files if probes[f.path].reason}
    check_readable(listing.root, unreadable, max_unreadable)
    readable = [file.path for file in listing.files if file.path not in unreadable]
    sha256s = {str(listing.root / each): probes[each].sha256 for each in readable}
    _check_unseen(path, sha256s, index)
    return sha256s


def _check_unseen(path: Path, sha256s: dict[str, str], index: ImageIndex) -> None:
    """Check that no image is in the validation or test split."""
    for split in ("test", "val"):
        judged = {sample.sha256: sample.path for sample in index.split(split)}
        shared = [place for place, sha256 in sha256s.items() if sha256 in judged]
        if shared:
            raise DataError(
                f"{path}: {len(shared)} of its images are in the {split} split ({_named(shared, path)}). Remove them"
                " there; otherwise the accuracy would mean nothing"
            )


def _named(places: Sequence[str], root: Path) -> str:
    shown = ", ".join(os.path.relpath(place, os.path.realpath(root)) for place in places[:_SHOWN])
    return shown + (", ..." if len(places) > _SHOWN else "")
