"""Augmented views per second, beside torchvision.

Both read the same photographs from disk, crop 50 to 100 % of the area with antialiasing, mirror, change brightness,
contrast and saturation by up to 20 %, and give batches of 32 `uint8` images. The peer is torchvision's `ImageFolder`
with `transforms.v2` in a `DataLoader`, on tensors (as its documentation advises) and on Pillow's images; the ratio is
to the faster of the two. They take turns in one process, without workers and with two, and starting these counts.
The ratio is the median over rounds, with a 95 % bootstrap interval; that of images per second of the CPUs is given too,
since it depends less on what else the machine does.

Says also how far views of JPEGs decoded in part are from those of Pillow's decoder in full size, in levels of 255, at
the benchmark's side and at a smaller one. Writes `benchmarks/results/input-MACHINE.json`.

Run: `python benchmarks/input.py --photos DIR [--rounds N]`; DIR has some 200 photographs.
"""

import argparse
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from results import write_result

from edgetl.data.decoding import open_picture
from edgetl.data.index import ImageIndex, Sample
from edgetl.data.loader import Order, training_batches
from edgetl.data.views import Views, view
from edgetl.recipe.images import AugmentConfig
from edgetl.runner.contract import Contract, load_image
from edgetl.zoo.torchvision_ops import ensure_torchvision

ensure_torchvision()

from torchvision.datasets import ImageFolder  # noqa: E402
from torchvision.transforms import v2  # noqa: E402

_SIDE, _SMALL_SIDE, _BATCH, _BATCHES, _CLASSES = 224, 96, 32, 12, 10
_WORKERS = (0, 2)
_AUGMENT = AugmentConfig()
_LIMITS = {"edgetl_to_torchvision": 1.25}

Pass = Callable[[int, int], int]
"""Make batches with a number of workers in a numbered round, and say how many images they held."""


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="a folder of photographs")
    parser.add_argument("--rounds", type=int, default=12, help="turns of each (default 12)")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        files = _photos(asked.photos, Path(folder))
        ways = {"edgetl": _edgetl(Path(folder), files), **_peers(Path(folder))}
        reached = {f"{workers}_workers": _compared(ways, workers, asked.rounds) for workers in _WORKERS}
        quality = {f"{side}_px": _quality(files, side) for side in (_SIDE, _SMALL_SIDE)}
    figures = {"reached": reached, "limits": _LIMITS, "partly_decoded": quality}
    write_result("input", {**figures, "photos": len(files), "side": _SIDE, "batch_size": _BATCH})


def _photos(source: Path, target: Path) -> list[Path]:
    """Put photographs into arbitrary classes, as ImageFolder wants them."""
    found = sorted(file for file in source.iterdir() if file.suffix.lower() in (".jpg", ".jpeg"))
    for number, file in enumerate(found):
        folder = target / f"class{number % _CLASSES}"
        folder.mkdir(exist_ok=True)
        shutil.copy(file, folder)
    return sorted(target.glob("*/*"))


def _edgetl(root: Path, files: list[Path]) -> Pass:
    samples = [Sample(str(file.relative_to(root)), int(file.parent.name[5:]), "train", "0" * 64) for file in files]
    sides = [min(Image.open(file).size) for file in files]
    labels = tuple(f"class{number}" for number in range(_CLASSES))
    index = ImageIndex(root, labels, tuple(samples), {}, statistics.median_low(sides))
    views, order = Views(Contract(labels, _SIDE, _SIDE), _AUGMENT), Order(len(files), _BATCH, 0)

    def run(workers: int, number: int) -> int:
        steps = range(number * _BATCHES, (number + 1) * _BATCHES)
        batches = training_batches(index, samples, views, order, steps, workers=workers)
        return sum(len(batch.images_NHWC) for batch in batches)

    return run


def _peers(root: Path) -> dict[str, Pass]:
    crop = v2.RandomResizedCrop(_SIDE, scale=(_AUGMENT.crop_area, 1.0), antialias=True)
    changes = [crop, v2.RandomHorizontalFlip(), v2.ColorJitter(*[_AUGMENT.colour] * 3)]
    ways = {"torchvision_tensors": [v2.ToImage(), *changes], "torchvision_pillow": [*changes, v2.ToImage()]}
    return {name: _peer(ImageFolder(root, v2.Compose(steps))) for name, steps in ways.items()}


def _peer(images: Any) -> Pass:
    def run(workers: int, number: int) -> int:
        generator = torch.Generator().manual_seed(number)
        count = _BATCH * _BATCHES
        sampler = torch.utils.data.RandomSampler(images, num_samples=count, generator=generator)
        loader = torch.utils.data.DataLoader(images, _BATCH, sampler=sampler, num_workers=workers)
        return sum(len(pixels_NCHW) for pixels_NCHW, _ in loader)

    return run


def _compared(ways: dict[str, Pass], workers: int, rounds: int) -> dict[str, Any]:
    """Images per second of each way, by the clock and of the CPUs, and the first's ratio to the best of the others."""
    found: dict[str, dict[str, list[float]]] = {clock: {name: [] for name in ways} for clock in ("wall", "cpu")}
    for number in range(-1, rounds):
        for name in list(ways)[:: 1 if number % 2 else -1]:
            wall_s, cpu_s = time.perf_counter(), _cpu_s()
            images = ways[name](workers, number + 1)
            if number >= 0:  # the first round warms up
                found["wall"][name].append(images / (time.perf_counter() - wall_s))
                found["cpu"][name].append(images / (_cpu_s() - cpu_s))
    return {clock: _ratio(speeds) for clock, speeds in found.items()}


def _ratio(speeds: dict[str, list[float]]) -> dict[str, Any]:
    medians = {name: round(statistics.median(each), 1) for name, each in speeds.items()}
    own, *others = medians
    best = max(others, key=lambda name: medians[name])
    ratios = [mine / theirs for mine, theirs in zip(speeds[own], speeds[best], strict=True)]
    picks_BR = np.random.default_rng(0).choice(ratios, size=(2000, len(ratios)))
    low, high = np.percentile(np.median(picks_BR, axis=1), [2.5, 97.5]).tolist()
    ratio = {"ratio": statistics.median(ratios), "low": low, "high": high}
    return {"images_per_second": medians, "peer": best, **{name: round(value, 3) for name, value in ratio.items()}}


def _cpu_s() -> float:
    """CPU time of this process and of workers that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _quality(files: list[Path], side: int) -> dict[str, float]:
    """How views differ from those of fully decoded images: share of views that do, and the mean absolute difference."""
    contract, found = Contract(("a", "b"), side, side), []
    for sample, file in enumerate(files):
        for number in range(4):
            address = {"seed": 0, "view": number, "sample": sample}
            fast, full = (
                view(opened, contract, _AUGMENT, **address).astype(int)
                for opened in (open_picture(file), load_image(file))
            )
            found.append(float(np.abs(fast - full).mean()))
    differing = [value for value in found if value]
    mean = statistics.fmean(differing) if differing else 0.0
    figures = {"differing_fraction": len(differing) / len(found), "mean_difference": mean, "largest_mean": max(found)}
    return {name: round(value, 3) for name, value in figures.items()}


if __name__ == "__main__":
    main()
