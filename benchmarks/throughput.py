"""Distilled images per second, beside a peer.

ResNet-50 teaches MobileNetV3-Small at 224 px on photographs. edgetl's time is that of `edgetl distill` as a process:
imports, the teacher's answers, stored views, 30 epochs, validation, test. The peer is torchdistill with an online
teacher and torchvision's JPEG pipeline (benchmarks/peers); its speed is constant, so `--steps` are enough. They take
turns. Writes `benchmarks/results/throughput-MACHINE.json`.

Run: `python benchmarks/throughput.py --photos DIR [--rounds N]`; DIR has some 200 photographs.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from results import write_result

_EPOCHS, _BATCH, _COPIES, _CLASSES = 30, 32, 8, 10
_LIMITS = {"edgetl_to_torchdistill": 6.0}
_PEERS = Path(__file__).parent / "peers"
_WAYS = {
    "edgetl": ["distill.teacher_views=4"],
    "edgetl_progressive": ["distill.teacher_views=4", "student.resize_from=0.6"],
    "edgetl_few_images": [],
}
"""Settings that differ from the defaults. Four views are the default above 6,000 images; the benchmark has 1,440."""


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="a folder of photographs")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each (default 2)")
    parser.add_argument("--steps", type=int, default=40, help="steps of the peer in a turn (default 40)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        _photos(asked.photos, place / "data", _COPIES)
        _photos(asked.photos, place / "few", 1)
        teacher = ("--model", "resnet50", "--weights", "none", "--set=teacher.epochs=1", "--set=data.image_size=224")
        _edgetl("finetune", "--data", place / "few", "--out", place / "teacher", *teacher)
        rounds = [_round(place, asked.steps) for _ in range(asked.rounds)]
    reached = {name: round(statistics.median(r[name] for r in rounds), 3) for name in rounds[0]}
    peers = ("torchdistill", "torchdistill_channels_last")
    ratios = {f"{way}_to_{peer}": round(reached[way] / reached[peer], 3) for way in _WAYS for peer in peers}
    result = {"images_per_second": reached, "ratios": ratios, "rounds": rounds}
    write_result("throughput", {"reached": result, "limits": _LIMITS, "epochs": _EPOCHS, "batch_size": _BATCH})


def _photos(source: Path, target: Path, copies: int) -> None:
    """Put photographs into arbitrary classes, and copy those of the training split."""
    files = sorted(file for file in source.iterdir() if file.suffix.lower() in (".jpg", ".jpeg"))
    last = len(files) // _CLASSES - 1
    for number, file in enumerate(files):
        row, column = divmod(number, _CLASSES)
        split = "test" if row >= last else "val" if row == last - 1 else "train"
        folder = target / split / f"class{column}"
        folder.mkdir(parents=True, exist_ok=True)
        for copy in range(copies if split == "train" else 1):
            shutil.copy(file, folder / f"{number:04}-{copy}.jpg")


def _round(place: Path, steps: int) -> dict[str, float]:
    """Images per second of each, measured one after the other."""
    found = {way: _distilled(place, settings) for way, settings in _WAYS.items()}
    found["torchdistill"] = _peer(place, steps)
    found["torchdistill_channels_last"] = _peer(place, steps, "--channels-last")
    return {name: round(value, 2) for name, value in found.items()}


def _distilled(place: Path, settings: list[str]) -> float:
    out = place / "student"
    for old in (out, place / "teacher" / ".answers"):
        shutil.rmtree(old, ignore_errors=True)
    options = [
        f"--set={setting}" for setting in (f"student.epochs={_EPOCHS}", f"student.batch_size={_BATCH}", *settings)
    ]
    common = ("--teacher", place / "teacher", "--student", "mobilenetv3_small", "--weights", "none")
    start = time.perf_counter()
    _edgetl("distill", "--data", place / "data", *common, "--out", out, *options)
    seconds = time.perf_counter() - start
    images = json.loads((out / "manifest.json").read_text())["metrics"]["data"]["train_images"]
    return float(_EPOCHS * (images // _BATCH) * _BATCH / seconds)


def _peer(place: Path, steps: int, *options: str) -> float:
    models = ("--teacher-model", "resnet50", "--teacher-weights", "none", "--student", "mobilenetv3_small_100")
    task = ("--data", str(place / "data"), "--size", "224")
    script = [sys.executable, str(_PEERS / "torchdistill_kd.py"), *task, *models]
    command = [*script, "--steps", str(steps), "--batch-size", str(_BATCH), *options]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    told: dict[str, Any] = json.loads(printed)
    # Without the first step, which starts the workers; over 30 epochs it does not count.
    return float((told["images"] - _BATCH) / (told["seconds"] - told["first_step_seconds"]))


def _edgetl(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "edgetl", *map(str, arguments)], check=True)


if __name__ == "__main__":
    main()
