"""The sets of the transfer benchmarks: few images, drawn by a seed, as `train/CLASS` and `test/CLASS`.

Images are copied as they are, so that each contestant reads the same bytes.
"""

import csv
import random
import shutil
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

__all__ = ["LARGEST", "PHOTOS", "SIDES", "make_set", "make_spare"]

PHOTOS = "photos"

LARGEST = 200
"""Images a class of the largest set that leaves spare images."""

_SPLITS = ("train", "test")

SIDES = {PHOTOS: 224}
"""Input side in pixels by set; 128 for CIFAR-10."""

_MAMMALS = {105, 150, *range(155, 300), *range(330, 390)}
_VEHICLES = {405, 450, 510, 555, 565, 575, 595, 625, 665, 670, 675, 690, 705, 780, 820, 870, 880, 895}
_PLACES = {425, 460, 500, 525, 540, 580, 660, 755, 825, 900, 915, 970, 975, 980}
_OTHER_ANIMALS, _FOODS = set(range(400)) - _MAMMALS, {925, 930, 935, 940, 945, 950, 955, 960, 965, 985, 990, 995}
_GROUPS = {
    "mammal": _MAMMALS,
    "other animal": _OTHER_ANIMALS,
    "vehicle": _VEHICLES,
    "place": _PLACES,
    "food or plant": _FOODS,
}
"""ImageNet's classes, from 0, as the photographs have them; what is in none of these is a thing."""

Chosen = dict[str, dict[str, list[Path]]]
"""Files by split and class."""


def make_set(name: str, seed: int, source: Path, folder: Path) -> Path:
    """Write a set below a folder, unless it is there already.

    Args:
        name: Images of CIFAR-10 per class, or 'photos'.
        seed: Decides which images are learned from.
        source: CIFAR-10 in class folders below train and test, or the photographs with labels.csv.
        folder: Its place is below.

    Returns:
        The set's own folder.
    """
    place = folder / f"{name}-{seed}"
    if place.is_dir():
        return place
    return _written(_photos(source, seed) if name == PHOTOS else _cifar(source, int(name), seed), place)


def make_spare(seed: int, source: Path, folder: Path) -> Path:
    """Write the training images of CIFAR-10 that no set of a seed up to `LARGEST` holds, as `CLASS`, to judge by.

    The arguments are those of `make_set`.
    """
    place = folder / f"spare-{seed}"
    if place.is_dir():
        return place
    every = {each.name: sorted(each.iterdir()) for each in (source / "train").iterdir()}
    rest = {label: _shuffled(files, f"{seed}/{label}")[LARGEST:] for label, files in every.items()}
    return _written({".": rest}, place)


def _written(chosen: Chosen, place: Path) -> Path:
    partial = place.with_name(f".partial-{place.name}")
    shutil.rmtree(partial, ignore_errors=True)
    for split, classes in chosen.items():
        for label, files in classes.items():
            _copy(files, partial / split / label)
    return partial.rename(place)


def _cifar(source: Path, count: int, seed: int) -> Chosen:
    """The first images of each class in an order by the seed, so that large sets hold the smaller; all test images."""
    found = {split: {each.name: sorted(each.iterdir()) for each in (source / split).iterdir()} for split in _SPLITS}
    for label, files in found["train"].items():
        if len(files) < count:
            raise SystemExit(f"{source}: has only {len(files)} training images of {label}")
    return {
        "train": {label: _shuffled(files, f"{seed}/{label}")[:count] for label, files in found["train"].items()},
        "test": found["test"],
    }


def _photos(source: Path, seed: int) -> Chosen:
    """One half of each group to learn from, the other for test."""
    groups = defaultdict(list)
    with (source / "labels.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            groups[_group(int(row["imagenet_label_1001"]) - 1)].append(source / row["file"])
    mixed = {group: _shuffled(sorted(files), f"{seed}/{group}") for group, files in groups.items()}
    return {
        "train": {group: files[: len(files) // 2] for group, files in mixed.items()},
        "test": {group: files[len(files) // 2 :] for group, files in mixed.items()},
    }


def _group(label: int) -> str:
    return next((name for name, labels in _GROUPS.items() if label in labels), "thing")


def _shuffled(files: list[Path], seed: str) -> list[Path]:
    return random.Random(seed).sample(files, len(files))


def _copy(files: Iterable[Path], folder: Path) -> None:
    folder.mkdir(parents=True)
    for file in files:
        shutil.copyfile(file, folder / file.name)
