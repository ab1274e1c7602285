"""How much of the gap to a teacher each tool closes in equal wall time.

A MobileNetV2 with real ImageNet weights is fine-tuned on a small CIFAR-10 at 128 px and teaches a MobileNetV2 of half
width, from random weights. edgetl trains with `--recipe fast` and as many epochs as fit into about `--seconds`,
including the teacher's answers, imports and validation. Then torchdistill and timm's distillation (benchmarks/peers)
train for exactly as long as edgetl took, and timm trains the student alone. With the first seed, each peer runs with
its library's own schedule and with edgetl's ('tuned'), and keeps the better one. The gap closed is `(student - alone) /
(teacher - alone)`.

Writes `benchmarks/results/quality-MACHINE.json` after every seed.
Run: `python benchmarks/quality.py --data DIR --weights FILE [--teacher RUN] [--seconds S] [--seeds 0,1,2]`; DIR has
train, val and test.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from results import write_result

_SIDE, _STUDENT = 128, "mobilenetv2_050"
_PEERS = Path(__file__).parent / "peers"
_TRIAL = 8
"""Epochs of the trial, at least as many as views."""

_SCRIPTS = {"torchdistill": "torchdistill_kd.py", "timm": "timm_kd.py", "timm_alone": "timm_kd.py"}
_SCHEDULES: dict[str, dict[str, tuple[str, ...]]] = {
    "torchdistill": {"own": (), "tuned": ("--schedule", "tuned", "--temperature", "4", "--alpha", "0.1")},
    "timm": {"own": (), "tuned": ("--schedule", "tuned")},
    "timm_alone": {"own": ("--alone",), "tuned": ("--alone", "--schedule", "tuned")},
}
_LIMITS = {"gap_closed_to_best_peer": 2.0}


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train, val and test")
    parser.add_argument("--weights", type=Path, required=True, help="MobileNetV2, .safetensors")
    parser.add_argument("--teacher", type=Path, help="run folder of a teacher (default: train one)")
    parser.add_argument("--seconds", type=float, default=600.0, help="wall time of each training (default 600)")
    parser.add_argument("--seeds", default="0,1,2", help="seeds (default 0,1,2)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        teacher = asked.teacher or _teacher(asked, place)
        top1 = json.loads((teacher / "manifest.json").read_text())["metrics"]["finetune"]["test_top1"]
        seeds: list[dict[str, Any]] = []
        for found in _seeds(asked, teacher, place):
            seeds.append(found)
            write_result("quality", {"reached": _reached(seeds, top1), "limits": _LIMITS, "seeds": seeds})


def _teacher(asked: argparse.Namespace, place: Path) -> Path:
    options = ["--set=teacher.epochs=16", f"--set=data.image_size={_SIDE}", "--set=augment.crop_area=0.4"]
    model = ("--model", "mobilenetv2", "--weights", asked.weights, "--strategy", "full")
    _edgetl("finetune", *model, "--data", asked.data, "--out", place / "teacher", *options)
    return place / "teacher"


def _seeds(asked: argparse.Namespace, teacher: Path, place: Path) -> Iterator[dict[str, Any]]:
    """Top-1 of each tool, seed by seed."""
    epochs, kept = 0, dict(_SCHEDULES)
    for seed in map(int, asked.seeds.split(",")):
        epochs = epochs or _epochs(asked.data, teacher, place, seed, asked.seconds)
        own = _once(asked.data, teacher, place, seed, epochs)
        found: dict[str, Any] = {"seed": seed, "edgetl": own}
        for name, schedules in kept.items():
            tried = {
                schedule: _peer(name, asked.data, teacher, seed, own["seconds"], options)
                for schedule, options in schedules.items()
            }
            best = max(tried, key=lambda schedule: float(tried[schedule]["test_top1"]))
            kept[name] = {best: schedules[best]}
            found[name] = {"schedule": best, **tried[best], "tried": {s: t["test_top1"] for s, t in tried.items()}}
        yield found


def _epochs(data: Path, teacher: Path, place: Path, seed: int, seconds: float) -> int:
    """Number of epochs that take about this long, by a trial."""
    few = _once(data, teacher, place, seed, _TRIAL)
    return max(_TRIAL, round(_TRIAL + (seconds - few["seconds"]) / few["epoch_seconds"]))


def _once(data: Path, teacher: Path, place: Path, seed: int, epochs: int) -> dict[str, Any]:
    out = place / "student"
    for old in (out, teacher / ".answers"):
        shutil.rmtree(old, ignore_errors=True)
    start = time.perf_counter()
    models = ("--teacher", teacher, "--student", _STUDENT, "--weights", "none")
    options = ("--recipe", "fast", f"--set=student.epochs={epochs}")
    _edgetl("distill", *models, "--data", data, "--seed", seed, "--out", out, *options)
    seconds = time.perf_counter() - start
    manifest = json.loads((out / "manifest.json").read_text())
    steps_s = manifest["stages"]["distill"]["library_seconds"]["training steps"]
    return {
        "test_top1": manifest["metrics"]["distill"]["test_top1"],
        "seconds": round(seconds, 1),
        "epochs": epochs,
        "images": epochs * (manifest["metrics"]["data"]["train_images"] // 32) * 32,
        "epoch_seconds": steps_s / epochs,
    }


def _peer(name: str, data: Path, teacher: Path, seed: int, seconds: float, options: tuple[str, ...]) -> dict[str, Any]:
    model = json.loads((teacher / "manifest.json").read_text())["model"]
    numbers = [f"--{key}={','.join(map(str, model[key]))}" for key in ("mean", "std")]
    weights = ["--teacher-model", model["name"], "--teacher-weights", str(teacher / "model.safetensors")]
    task = ["--data", str(data), "--student", _STUDENT, "--size", str(_SIDE), *weights, *numbers]
    budget = ["--seconds", str(seconds), "--seed", str(seed)]
    command = [sys.executable, str(_PEERS / _SCRIPTS[name]), *task, *budget, *options]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    told = json.loads(printed)
    return {key: told[key] for key in ("test_top1", "seconds", "epochs", "images")}


def _reached(seeds: list[dict[str, Any]], teacher_top1: float) -> dict[str, Any]:
    """Means over the seeds."""
    top1 = {name: statistics.mean(seed[name]["test_top1"] for seed in seeds) for name in ("edgetl", *_SCHEDULES)}
    alone = top1["timm_alone"]
    closed = {name: (value - alone) / (teacher_top1 - alone) for name, value in top1.items() if name != "timm_alone"}
    best = max(value for name, value in closed.items() if name != "edgetl")
    ratio = closed["edgetl"] / best if best > 0 else None  # no peer was better than the student alone
    return {"teacher_top1": teacher_top1, "top1": top1, "gap_closed": closed, "gap_closed_to_best_peer": ratio}


def _edgetl(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "edgetl", *map(str, arguments)], check=True, stdout=sys.stderr)


if __name__ == "__main__":
    main()
