"""What int8 costs students that edgetl distilled itself, at the end of the ladder, in each format.

A MobileNetV2 with real ImageNet weights is fine-tuned on a small CIFAR-10 at 64 px and teaches four students from
random weights (`--recipe fast`), a fifth of the training images kept for validation. `edgetl quantize --max-drop 0.005`
climbs on those until at most 2 % of the answers change, since a loss of half a point among more is a matter of luck.
Reported is the loss on the test images, which no rung saw, and what the kept rung needs of the float file's time, of
medians that were taken one after the other.

Writes `benchmarks/results/students-MACHINE.json` after every student. Runs that are finished in `--out` are used again.
Run: `python benchmarks/students.py --data DIR --weights FILE [--out DIR] [--students a,b]`; DIR has train and test.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from results import write_result

_STUDENTS = ("mobilenetv2", "mobilenetv3_small", "efficientnet_b0", "efficientnet_lite0")
_OPTIONS = ("--set=data.image_size=64", "--set=data.val_fraction=0.2", "--set=augment.crop_area=0.4")
_LIMITS = {"worst_drop": 0.005}


def main() -> None:
    """Measure, and write the result down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train and test")
    parser.add_argument("--weights", type=Path, required=True, help="MobileNetV2, .safetensors")
    parser.add_argument("--out", type=Path, default=Path("runs/students"), help="folder of the runs")
    parser.add_argument("--students", default=",".join(_STUDENTS), help="their names, with commas")
    asked = parser.parse_args()
    teacher = asked.out / "teacher"
    model = ("--model", "mobilenetv2", "--weights", asked.weights, "--strategy", "full")
    _edgetl("finetune", *model, "--data", asked.data, "--out", teacher, "--set=teacher.epochs=14", *_OPTIONS)
    found: dict[str, Any] = {}
    for name in asked.students.split(","):
        found[name] = _student(name, asked.data, teacher, asked.out / name)
        worst = max(artifact["drop"] for student in found.values() for artifact in student["artifacts"].values())
        reached = {"teacher_top1": _manifest(teacher)["metrics"]["finetune"]["test_top1"], "worst_drop": worst}
        write_result("students", {"reached": reached, "limits": _LIMITS, "students": found})


def _student(name: str, data: Path, teacher: Path, out: Path) -> dict[str, Any]:
    models = ("--teacher", teacher, "--student", name, "--weights", "none")
    _edgetl("distill", *models, "--data", data, "--out", out, "--recipe", "fast", *_OPTIONS)
    _edgetl("export", out)
    _edgetl("quantize", out, "--max-drop", 0.005, "--set", "quantize.max_flips=0.02", allowed=(0, 1))
    _edgetl("verify", out, allowed=(0, 1))
    _edgetl("bench", out, "--set", "bench.threads=1")
    receipt, proof, bench = (json.loads((out / f"{each}.json").read_text()) for each in ("quantize", "verify", "bench"))
    p50_ms = {(each["format"], each["precision"]): each["inference"]["p50_ms"] for each in bench["artifacts"]}
    stages = _manifest(out)["stages"]
    return {
        "test_top1": proof["reference"]["top1"],
        "test_images": proof["test_images"],
        "quantize_seconds": stages["quantize"]["seconds"],
        "artifacts": {
            each["format"]: {
                "drop": each["drop"],
                "flips": 1 - each["agreement"],
                "kept": "{rung} ({note})".format_map(receipt["kept"][each["file"]]),
                "time_to_float": round(p50_ms[each["format"], "w8a8"] / p50_ms[each["format"], "fp32"], 3),
            }
            for each in proof["artifacts"]
            if each["precision"] == "w8a8"
        },
    }


def _manifest(run: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((run / "manifest.json").read_text())
    return manifest


def _edgetl(*arguments: object, allowed: tuple[int, ...] = (0,)) -> None:
    code = subprocess.run([sys.executable, "-m", "edgetl", *map(str, arguments)], stdout=sys.stderr).returncode
    if code not in allowed:
        sys.exit(f"edgetl {arguments[0]} ended with exit code {code}")


if __name__ == "__main__":
    main()
