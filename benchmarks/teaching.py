"""A pretrained student of few images: with its teacher, and alone.

The sets are 50, 200 and 500 images a class of CIFAR-10 at 128 px, as in `transfer.py`. All are judged by the 1,000
test images, and up to 200 a class by 3,000 more, which no set of the seed holds. The teacher is an EfficientNet-Lite2,
fine-tuned by edgetl's defaults. The student starts from real ImageNet weights and learns by edgetl's defaults, with the
teacher and alone; alone also in two and three times the epochs. `less_time` names what had less than the taught one,
whose seconds include the teacher's answers, but not the teacher's own training.

Reported is how many points more the taught student has right than the best of the others, and how many fewer than its
teacher, each with an interval over seeds and images.

Writes `benchmarks/results/teaching-MACHINE.json` after every seed; sets and students that were not asked for stay as
they were there. Records in `--out` are used again. Run: `python benchmarks/teaching.py --cifar DIR --weights DIR [--out
DIR] [--sets 50] [--students mobilenetv2] [--seeds 0,1]`, on more than two cores behind `taskset -c 0,1`.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from contestants import Cell, Record, judged_further, measured_edgetl, measured_student
from few_images import LARGEST, make_set, make_spare
from paired_gain import gain
from results import known_result, write_result

_SIDE = 128
_TEACHER = ("tf_efficientnet_lite2", "tf_efficientnet_lite2_imagenet.safetensors")
_STUDENTS = {
    "mobilenetv2": ("mobilenetv2", "mobilenetv2_imagenet.safetensors"),
    "efficientnet_lite0": ("tf_efficientnet_lite0", "tf_efficientnet_lite0_imagenet.safetensors"),
}
_ALONE = {
    "alone": (),
    "alone, twice the epochs": ("--set", "teacher.tuning_epochs=16"),
    "alone, three times the epochs": ("--set", "teacher.tuning_epochs=24"),
}
_LIMITS = {"least_gain": 1.5, "most_below_teacher": 1.0}
"""In points."""


def main() -> None:
    """Measure, and write the result down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar", type=Path, required=True, help="CIFAR-10 as train/CLASS and test/CLASS")
    parser.add_argument("--weights", type=Path, required=True, help="folder of the weights files")
    parser.add_argument("--out", type=Path, default=Path("runs/teaching"), help="folder of sets and records")
    parser.add_argument("--sets", default="50,200,500", help="images a class, with commas")
    parser.add_argument("--students", default=",".join(_STUDENTS), help="their names, with commas")
    parser.add_argument("--seeds", default="0,1,2", help="with commas")
    asked = parser.parse_args()
    records: dict[tuple[str, str], dict[str, list[Record]]] = {}
    before: list[dict[str, Any]] = known_result("teaching").get("found", [])
    for set_name in asked.sets.split(","):
        for student in asked.students.split(","):
            for seed in map(int, asked.seeds.split(",")):
                print(f"{set_name} images a class, {student}, seed {seed}", file=sys.stderr)
                found = records.setdefault((set_name, student), {})
                for name, record in _records(set_name, student, seed, asked).items():
                    found.setdefault(name, []).append(record)
                summaries = [_summary(*place, each) for place, each in records.items()]
                summaries += [each for each in before if (each["set"], each["student"]) not in records]
                summaries.sort(key=lambda each: (int(each["set"]), each["student"]))
                gains = [each["gain"]["points"] for each in summaries]
                below = [-each["gain_on_teacher"]["points"] for each in summaries]
                reached = {"least_gain": min(gains), "most_below_teacher": max(below)}
                write_result("teaching", {"reached": reached, "limits": _LIMITS, "found": summaries})


def _records(set_name: str, student: str, seed: int, asked: argparse.Namespace) -> dict[str, Record]:
    out = asked.out.resolve()
    model, weights = _TEACHER
    place = out / f"teacher-{set_name}" / str(seed)
    data = make_set(set_name, seed, asked.cifar, out / "sets")
    cell = Cell(data, _SIDE, model, (asked.weights / weights).resolve(), seed, place)
    found = {"teacher": measured_edgetl(cell)}
    model, weights = _STUDENTS[student]
    own = replace(
        cell, network=model, weights=(asked.weights / weights).resolve(), out=out / f"{student}-{set_name}" / str(seed)
    )
    found["taught"] = measured_student(own, place / "edgetl", name="taught")
    for name, options in _ALONE.items():
        found[name] = measured_edgetl(own, *options, name=_file_name(name))
    if int(set_name) > LARGEST:
        return found
    spare = make_spare(seed, asked.cifar, out / "sets")
    further = {name: judged_further(own, _file_name(name), spare) for name in ("taught", *_ALONE)}
    return {"teacher": judged_further(cell, "edgetl", spare), **further}


def _file_name(name: str) -> str:
    return name.replace(", ", "-").replace(" ", "-")


def _summary(set_name: str, student: str, found: dict[str, list[Record]]) -> dict[str, Any]:
    top1 = {name: _mean(records, "top1") for name, records in found.items()}
    seconds = {name: _mean(records, "seconds") for name, records in found.items()}
    right = {name: [record["right"] for record in records] for name, records in found.items()}
    best = max(_ALONE, key=top1.__getitem__)
    return {
        "set": set_name,
        "student": student,
        "seeds": len(right["taught"]),
        "top1": top1,
        "seconds": seconds,
        "gain": {"over": best, **gain(right["taught"], right[best])},
        "gain_on_teacher": gain(right["taught"], right["teacher"]),
        "less_time": [name for name in _ALONE if seconds[name] < seconds["taught"]],
        "learned": {name: [record.get("learned") for record in records] for name, records in found.items()},
    }


def _mean(records: list[Record], field: str) -> float:
    return round(sum(record[field] for record in records) / len(records), 4)


if __name__ == "__main__":
    main()
