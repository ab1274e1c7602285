"""Predict, time and profile in a fresh process, as on a device; the results come back as arrays and plain data."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .launch import call_runner

__all__ = ["predict_apart", "profile_apart", "time_apart"]

_START_TIMEOUT_S, _IMAGE_TIMEOUT_S = 120.0, 5.0
_CALL_TIMEOUT_S = 20.0
"""Far beyond any honest run; they only end a hanging one."""


def predict_apart(model: Path, files: Sequence[Path], *, threads: int) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Compute what a model says about image files, which it reads as its own contract says.

    Args:
        model: An artifact.
        files: Images, at least one.
        threads: Of the runtime.

    Returns:
        Probabilities `(N, K)` in the order of `files`, and the facts that `runner.commands.predict` gives.

    Raises:
        RunnerError: It cannot be opened or run, or an image cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="edgetl-") as folder:
        out = Path(folder, "probabilities.npy")
        facts = _ask("predict", model, files, {"threads": threads, "out": out}, _IMAGE_TIMEOUT_S * len(files))
        probabilities_NK: NDArray[np.float32] = np.load(out)
    return probabilities_NK, facts


def time_apart(
    model: Path, files: Sequence[Path], *, threads: int, warmup_runs: int, min_samples: int, min_seconds: float
) -> dict[str, Any]:
    """Time a model on one image after the other; returns what `runner.commands.time_model` does.

    Raises:
        RunnerError: It cannot be opened or run, or an image cannot be read.
    """
    limits = {"threads": threads, "warmup": warmup_runs, "min-samples": min_samples, "min-seconds": min_seconds}
    series_s = min_seconds + _CALL_TIMEOUT_S * (warmup_runs + min_samples)
    return _ask("time", model, files, limits, 2 * series_s)


def profile_apart(model: Path, files: Sequence[Path], *, threads: int, warmup_runs: int, runs: int) -> dict[str, Any]:
    """Time a model's operators; returns what `runner.commands.profile_model` does.

    Raises:
        RunnerError: It cannot be opened or run, or an image cannot be read.
    """
    limits = {"threads": threads, "warmup": warmup_runs, "runs": runs}
    return _ask("profile", model, files, limits, _CALL_TIMEOUT_S * (warmup_runs + runs))


def _ask(command: str, model: Path, files: Sequence[Path], options: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="edgetl-") as folder:
        given = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        arguments = [command, str(model), "--files", _list(files, folder), *given]
        return call_runner(arguments, timeout_s=_START_TIMEOUT_S + timeout_s)


def _list(files: Sequence[Path], folder: str) -> str:
    path = Path(folder, "images.json")
    path.write_text(json.dumps([str(file.absolute()) for file in files]), encoding="utf-8")
    return str(path)
