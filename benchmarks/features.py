"""What `edgetl finetune --strategy features` costs beyond the features, and against the tutorial's frozen loop.

The command, from its start to the scored network, shall take at most 1.3 times what the bare extraction of the same
views takes in one process. Ten epochs of the loop in PyTorch's tutorial that trains the head alone shall take at least
8 times as long as the command, which shall be no more than 0.3 points less accurate. Seconds are those of whole
processes, each the median of `--repeats`, by turns; the loop runs once.

Writes `benchmarks/results/features-MACHINE.json`. Run: `python benchmarks/features.py --cifar DIR --weights FILE
[--count 500] [--views 5] [--out DIR]`, on more than two cores behind `taskset -c 0,1`.
"""

import argparse
import statistics
from pathlib import Path

from contestants import Cell, measured, measured_edgetl, tutorial
from few_images import make_set
from results import write_result

_SIDE, _EPOCHS = 128, 10
_LIMITS = {"time_to_extraction": 1.3, "loop_to_time": 8.0, "gain_on_loop": -0.3}
"""The first is a most, the others are leasts; the last is in points."""


def main() -> None:
    """Measure, and write the result down."""
    asked = _asked()
    out = asked.out.resolve()
    data = make_set(str(asked.count), 0, asked.cifar, out / "sets")
    cell = Cell(data, _SIDE, asked.model, asked.weights.resolve(), 0, out / f"{asked.count}-{asked.model}")
    runs, extractions = [], []
    for number in range(asked.repeats):
        runs.append(measured_edgetl(cell, *asked.options.split(), name=f"edgetl-{number}"))
        extractions.append(
            measured(cell, f"extraction-{asked.views}-{number}", ["extraction.py", "--views", asked.views])
        )
    seconds, bare = (statistics.median(each["seconds"] for each in records) for records in (runs, extractions))
    loop = measured(cell, f"cf-{asked.epochs}", tutorial(asked.epochs, frozen=True))
    reached = {
        "time_to_extraction": round(seconds / bare, 3),
        "loop_to_time": round(loop["seconds"] * _EPOCHS / asked.epochs / seconds, 2),
        "gain_on_loop": round(100 * (runs[0]["top1"] - loop["top1"]), 2),
    }
    for record in (*runs, loop):
        del record["right"]
    settings = {name: getattr(asked, name) for name in ("model", "count", "views", "options", "epochs")}
    found = {"settings": settings, "edgetl": runs, "extraction": extractions, "loop": loop}
    write_result("features", {"reached": reached, "limits": _LIMITS, **found})


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--cifar", type=Path, required=True, help="CIFAR-10 as train/CLASS and test/CLASS")
    add("--weights", type=Path, required=True, help="FILE.safetensors")
    add("--model", default="mobilenetv2", help="edgetl's name of the network")
    add("--count", type=int, default=500, help="training images of each class")
    add("--views", type=int, default=5, help="views of an image that the command takes, the plain one included")
    add("--options", default="--strategy features", help="of 'edgetl finetune', beside data and network")
    add("--epochs", type=int, default=_EPOCHS, help="of the loop; of fewer, the seconds are multiplied")
    add("--repeats", type=int, default=3, help="of command and extraction")
    add("--out", type=Path, default=Path("runs/features"), help="folder of sets and records")
    return parser.parse_args()


if __name__ == "__main__":
    main()
