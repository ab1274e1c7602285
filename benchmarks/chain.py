"""Run the demo chain, and split its wall time between the libraries and edgetl.

Writes `benchmarks/results/chain-MACHINE.json`: the accuracies and proofs that the demo promises, and the ratio of wall
time to library time. Library time is spent in torch (training and inference steps), the converters, the quantizers, the
measuring subprocesses and their imports. The rest is edgetl's own: views, hashing, files, statistics, the report. Run:
`python benchmarks/chain.py [--seed N]`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from results import write_result

_LIMITS = {"teacher_top1": 0.97, "student_top1": 0.96, "worst_w8a8_drop": 0.01, "wall_to_library": 1.15}


def main() -> None:
    """Run the chain in a new folder, and write its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="seed of the run (default 0, the demo's own)")
    seed = parser.parse_args().seed
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        start = time.perf_counter()
        command = [sys.executable, "-m", "edgetl", "run", "--out", str(out), "--seed", str(seed)]
        code = subprocess.run(command, check=False).returncode
        wall_s = time.perf_counter() - start
        figures = _figures(out, wall_s)
    write_result("chain" if seed == 0 else f"chain-seed{seed}", {"exit_code": code, "seed": seed, **figures})


def _figures(out: Path, wall_s: float) -> dict[str, Any]:
    teacher = json.loads((out / "teacher" / "manifest.json").read_text())
    student = json.loads((out / "manifest.json").read_text())
    proof = json.loads((out / "verify.json").read_text())
    stages = {
        f"{owner}.{name}": {"seconds": record["seconds"], "library_seconds": record["library_seconds"]}
        for owner, manifest in (("teacher", teacher), ("student", student))
        for name, record in manifest["stages"].items()
    }
    library_s = sum(sum(stage["library_seconds"].values()) for stage in stages.values())
    floats = [a for a in proof["artifacts"] if a["precision"] == "fp32"]
    integers = [a for a in proof["artifacts"] if a["precision"] != "fp32"]
    reached = {
        "teacher_top1": teacher["metrics"]["finetune"]["test_top1"],
        "student_top1": student["metrics"]["distill"]["test_top1"],
        "worst_w8a8_drop": max(a["drop"] for a in integers),
        "worst_float_difference": max(a["max_probability_difference"] for a in floats),
        "worst_float_agreement": min(a["agreement"] for a in floats),
        "wall_seconds": round(wall_s, 2),
        "library_seconds": round(library_s, 2),
        "wall_to_library": round(wall_s / library_s, 4),
    }
    return {"reached": reached, "limits": _LIMITS, "stages": stages}


if __name__ == "__main__":
    main()
