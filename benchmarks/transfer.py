"""Fine-tuning of few images: edgetl against its simplest strong peers.

All get the same images, weights, input and test images, and two threads. The sets are 10, 50, 200 and 500 images a
class of CIFAR-10 at 128 px with 1,000 for test, and 200 photographs in six groups at 224 px, one half for test; a seed
draws the images to learn from. The peers are logistic regression on the features of the plain images (a1) and of eight
random squares of each (a8), fastai's `fine_tune(5)` (b), and PyTorch's tutorial, all weights (c) or the head alone
(cf). Seconds are those of whole processes; with `--tutorial-epochs` the tutorial can be shortened, but not below
edgetl's time: `less_time` names the peers that had less.

Reported is how many points more edgetl has right than each peer, with an interval over seeds and images: against the
best peer of a set and a network, no gain may be below zero by more than its interval, and with 200 images a class or
more it shall be a point; against the better tutorial it shall be five.

Writes `benchmarks/results/transfer-MACHINE.json` after every cell; sets and networks that were not asked for stay as
they were there. Records in `--out` are used again: delete `OUT/*/*/edgetl.json` to measure another edgetl.
Run: `python benchmarks/transfer.py --cifar DIR --photos DIR --weights DIR --fastai PYTHON [--out DIR] [--sets 10,50]
[--networks mobilenetv2] [--seeds 0,1] [--peers a1,b]`, on more than two cores behind `taskset -c 0,1`. fastai is in no
requirements of ours: `python -m venv peers && peers/bin/pip install 'fastai==2.8.*' 'edgetl[train]'`, and then it is
`--fastai peers/bin/python`.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contestants import Cell, Record, logistic, measured, measured_edgetl, tutorial
from few_images import PHOTOS, SIDES, make_set
from paired_gain import gain
from results import known_result, write_result

_SETS = ("10", "50", "200", "500", PHOTOS)
_WEIGHTS = {
    "mobilenetv2": "mobilenetv2_imagenet.safetensors",
    "efficientnet_lite0": "tf_efficientnet_lite0_imagenet.safetensors",
    "efficientnet_lite2": "tf_efficientnet_lite2_imagenet.safetensors",
}
_NETWORKS = {"efficientnet_lite0": "tf_efficientnet_lite0"}
"""timm's other variant, whose padding and batch norm are those of the weights."""

_PEERS = ("a1", "a8", "b", "c", "cf")
_TUTORIALS = ("c", "cf")
_CIFAR_SIDE, _MANY = 128, 200
_LIMITS = {"highest_below_best": 0.0, "least_gain_of_many": 1.0, "least_gain_on_tutorial": 5.0}
"""In points, each the least: the upper ends of all intervals, the gain at 200 images a class or more, the gain on c."""


@dataclass(frozen=True)
class _Place:
    """A set and a network, with the records of each contestant by seed."""

    set: str
    network: str
    tutorial_epochs: int
    records: dict[str, dict[int, Record]] = field(default_factory=dict)


def main() -> None:
    """Measure, and write the result down."""
    asked = _asked()
    places: list[_Place] = []
    before: list[dict[str, Any]] = known_result("transfer").get("found", [])
    for set_name in asked.sets.split(","):
        for network in asked.networks.split(","):
            places.append(_Place(set_name, network, asked.tutorial_epochs))
            for seed in map(int, asked.seeds.split(",")):
                for name, record in _records(set_name, network, seed, asked):
                    places[-1].records.setdefault(name, {})[seed] = record
                anew = [_summary(place) for place in places]
                done = {(place.set, place.network) for place in places}
                found = anew + [each for each in before if (each["set"], each["network"]) not in done]
                found.sort(
                    key=lambda each: (int(each["set"]) if each["set"] != PHOTOS else sys.maxsize, each["network"])
                )
                write_result("transfer", {"reached": _reached(found), "limits": _LIMITS, "found": found})


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--cifar", type=Path, help="CIFAR-10 as train/CLASS and test/CLASS")
    add("--photos", type=Path, help="folder of the photographs, with labels.csv")
    add("--weights", type=Path, required=True, help="folder of the weights files")
    add("--fastai", default=sys.executable, help="a Python that has fastai (default: this one)")
    add("--out", type=Path, default=Path("runs/transfer"), help="folder of sets and records")
    add("--sets", default=",".join(_SETS), help="images a class of CIFAR-10, or 'photos', with commas")
    add("--networks", default=",".join(_WEIGHTS), help="their names, with commas")
    add("--seeds", default="0,1,2", help="with commas")
    add("--peers", default=",".join(_PEERS), help="any of these, with commas")
    add("--tutorial-epochs", type=int, default=25, help="of c and cf (default: the tutorial's 25)")
    asked = parser.parse_args()
    for name, needed in (("photos", PHOTOS in asked.sets), ("cifar", any(s != PHOTOS for s in asked.sets.split(",")))):
        if needed and getattr(asked, name) is None:
            parser.error(f"--sets {asked.sets} needs --{name}")
    return asked


def _records(set_name: str, network: str, seed: int, asked: argparse.Namespace) -> Iterator[tuple[str, Record]]:
    """Each contestant's name and record."""
    out = asked.out.resolve()
    cell = Cell(
        data=make_set(set_name, seed, asked.photos if set_name == PHOTOS else asked.cifar, out / "sets"),
        size=SIDES.get(set_name, _CIFAR_SIDE),
        network=_NETWORKS.get(network, network),
        weights=(asked.weights / _WEIGHTS[network]).resolve(),
        seed=seed,
        out=out / f"{set_name}-{network}" / str(seed),
    )
    epochs = asked.tutorial_epochs
    yield "edgetl", measured_edgetl(cell)
    for name in asked.peers.split(","):
        print(f"{cell.out}: {name}", file=sys.stderr)
        if name == "b":
            yield name, measured(cell, name, ["fastai_tune.py"], asked.fastai)
        elif name in _TUTORIALS:
            yield name, measured(cell, f"{name}-{epochs}", tutorial(epochs, frozen=name == "cf"))
        else:
            yield name, measured(cell, name, logistic(8 if name == "a8" else 0))


def _summary(place: _Place) -> dict[str, Any]:
    """What a set and a network gave: all figures, and the gains of edgetl."""
    top1 = {name: _mean(records, "top1") for name, records in place.records.items()}
    seconds = {name: _mean(records, "seconds") for name, records in place.records.items()}
    peers = [name for name in top1 if name != "edgetl"]
    right = {name: [record["right"] for record in records.values()] for name, records in place.records.items()}
    return {
        "set": place.set,
        "network": place.network,
        "top1": top1,
        "seconds": seconds,
        "tutorial_epochs": place.tutorial_epochs,
        "best_peer": max(peers, key=top1.__getitem__) if peers else None,
        "best_tutorial": max(set(peers) & set(_TUTORIALS), key=top1.__getitem__, default=None),
        "gain": {name: gain(right["edgetl"], right[name]) for name in peers},
        "less_time": [name for name in peers if seconds[name] < seconds["edgetl"]],
        "seeds": {
            name: {seed: {k: v for k, v in each.items() if k != "right"} for seed, each in records.items()}
            for name, records in place.records.items()
        },
    }


def _mean(records: dict[int, Record], field: str) -> float:
    return round(sum(record[field] for record in records.values()) / len(records), 4)


def _reached(found: list[dict[str, Any]]) -> dict[str, float | None]:
    """The least of each gain that has a limit; None where nothing was measured for it."""
    best = [(each["set"], each["gain"][each["best_peer"]]) for each in found if each["best_peer"]]
    many = [gained["points"] for name, gained in best if name != PHOTOS and int(name) >= _MANY]
    tutorials = [each["gain"][each["best_tutorial"]]["points"] for each in found if each["best_tutorial"]]
    return {
        "highest_below_best": min((gained["high"] for _, gained in best), default=None),
        "least_gain_of_many": min(many, default=None),
        "least_gain_on_tutorial": min(tutorials, default=None),
    }


if __name__ == "__main__":
    main()
