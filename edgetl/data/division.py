"""Decide which image is in which split, by the folders that are given and, for what they leave open, by content.

A run is judged on a folder of the user's own where there is one: on `test/`, else on `val/`. Then no image leaves
`train/` for a test split, and where `val/` judges, validation comes out of `train/`.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from edgetl.data.audit import check_counts
from edgetl.data.folder import SPLITS, ImageFile
from edgetl.data.split import assign_splits
from edgetl.errors import RunFolderError
from edgetl.recipe.images import DataConfig
from edgetl.runs.folder import RunFolder
from edgetl.runs.words import counted

__all__ = ["Division", "Origin", "divide", "validation_origin"]

Origin = Literal["taken from train", "given"]
"""Where the validation images come from: out of `train/` or of an unsplit folder, or from a `val/` beside a `test/`."""


@dataclass(frozen=True)
class Division:
    """The splits, and how they came about."""

    splits: dict[str, str]
    """'train', 'val' or 'test' of every file, by path."""

    validation: Origin
    sentence: str
    """What was decided, in one line for people."""


def divide(
    root: Path,
    files: Sequence[ImageFile],
    sha256s: Mapping[str, str],
    labels: Collection[str],
    config: DataConfig,
    *,
    seed: int,
) -> Division:
    """Give every file its split.

    Args:
        root: The folder, for messages.
        files: All readable images; those of an unsplit folder have no split.
        sha256s: The hash of each, by path.
        labels: All classes, also those without a readable image.
        config: Fractions of the splits that are divided off.
        seed: Seeds what is divided off.

    Raises:
        DataError: A class has too few images to be divided.
    """
    judged = "test" if any(file.split == "test" for file in files) else "val"
    kept = {f.path: "test" if f.split == judged else f.split for f in files if f.split not in ("", "train")}
    fractions = {"val": config.val_fraction, "test": config.test_fraction}
    missing = {split: fraction for split, fraction in fractions.items() if split not in kept.values()}
    pool = [file for file in files if file.path not in kept]
    splits = kept | _parted(root, pool, sha256s, labels, missing, seed)
    origin: Origin = "taken from train" if "val" in missing else "given"
    return Division(splits, origin, f"Split: {_decided(files, splits, missing)}.{_unjudged(files, splits, labels)}")


def validation_origin(folder: RunFolder) -> str:
    """Whether a run's validation images were 'taken from train' or 'given'.

    Raises:
        RunFolderError: Its data stage has not run, or was run by an edgetl that did not say so.
    """
    origin = (folder.stage("data") or {}).get("validation")
    if origin not in get_args(Origin):
        problem = "does not say where its validation images come from"
        raise RunFolderError(f"{folder.path}: {problem}. Run again with another --out")
    return str(origin)


def _parted(
    root: Path,
    pool: Sequence[ImageFile],
    sha256s: Mapping[str, str],
    labels: Collection[str],
    missing: Mapping[str, float],
    seed: int,
) -> dict[str, str]:
    """The split of each file of the pool: train, or a missing split, which takes its fraction of every class."""
    distinct: defaultdict[str, set[str]] = defaultdict(set)
    for file in pool:
        distinct[file.label].add(sha256s[file.path])
    check_counts(root, {label: len(distinct[label]) for label in labels}, 1 + len(missing))
    val, test = missing.get("val", 0.0), missing.get("test", 0.0)
    assigned: dict[str, str] = {}
    for found in distinct.values():
        assigned |= assign_splits(found, seed=seed, val_fraction=val, test_fraction=test)
    return {file.path: assigned[sha256s[file.path]] for file in pool}


def _decided(files: Sequence[ImageFile], splits: Mapping[str, str], missing: Collection[str]) -> str:
    """Which folder is which split, and what was divided off."""
    sizes, names = Counter(splits.values()), {splits[file.path]: _folder(file) for file in files}
    if not missing:
        train, val, test = (f"{names[split]} ({counted(sizes[split], 'image')})" for split in SPLITS)
        return f"{train}, {val} and {test} are taken as they are"
    divided = sizes["train"] + sum(sizes[split] for split in missing)
    images = counted(divided, "image")
    whole = f"{images} of {names['train']}" if files[0].split else images
    if "test" in missing:
        return f"of the {whole}, {sizes['val']:,} are the validation split and {sizes['test']:,} the test split"
    judged = f"{names['test']} ({counted(sizes['test'], 'image')}) is the test split"
    if names["test"].rstrip("/").lower() not in ("test", "testing"):
        judged = f"there is no test/, so {judged}"
    return f"{judged}; {sizes['val']:,} of the {whole} are the validation split"


def _unjudged(files: Sequence[ImageFile], splits: Mapping[str, str], labels: Collection[str]) -> str:
    """Sentences about classes that the test or the validation split lacks, if they do."""
    sentences = []
    for split, name, so in (("test", "test", "no accuracy counts it"), ("val", "validation", "no choice considers it")):
        lacking = sorted(set(labels) - {file.label for file in files if splits[file.path] == split})
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        sentences += [f" No {name} image is of class {lacking[0]!r}{more}, so {so}."] if lacking else []
    return "".join(sentences)


def _folder(file: ImageFile) -> str:
    """The split folder that a file lies in, as the user spells it."""
    return f"{file.path.partition('/')[0]}/"
