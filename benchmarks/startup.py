"""Time `edgetl --help` and `import edgetl` as whole processes, and Python's own start.

Writes `benchmarks/results/startup-MACHINE.json`. Run: `python benchmarks/startup.py`.
"""

import statistics
import subprocess
import sys
import time

from results import write_result

_RUNS = 15
_HEAVY = ("torch", "onnxruntime", "openvino", "ai_edge_litert", "timm", "numpy")
_COMMANDS = {
    "python": [sys.executable, "-c", "pass"],
    "import edgetl": [sys.executable, "-c", "import edgetl"],
    "edgetl --help": [sys.executable, "-m", "edgetl", "--help"],
}
_LIMITS_S = {"import edgetl": 0.1, "edgetl --help": 0.3}


def main() -> None:
    """Time the commands in turns, so that a drift of the machine affects all of them alike."""
    seconds: dict[str, list[float]] = {name: [] for name in _COMMANDS}
    for _ in range(_RUNS):
        for name, command in _COMMANDS.items():
            seconds[name].append(_time(command))
    medians = {name: round(statistics.median(times), 4) for name, times in seconds.items()}
    loaded = _modules_after_help()
    write_result(
        "startup",
        {
            "median_seconds": medians,
            "max_seconds": {name: round(max(times), 4) for name, times in seconds.items()},
            "limits_seconds": _LIMITS_S,
            "heavy_modules_loaded_by_help": loaded,
            "reached": not loaded and all(medians[name] <= limit for name, limit in _LIMITS_S.items()),
        },
    )


def _time(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def _modules_after_help() -> list[str]:
    program = (
        "import sys, contextlib, io\n"
        "from edgetl.cli import app\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    app(['--help'])\n"
        f"sys.exit(','.join(m for m in {_HEAVY!r} if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, stderr=subprocess.PIPE, text=True)
    return [name for name in done.stderr.strip().split(",") if name]


if __name__ == "__main__":
    main()
