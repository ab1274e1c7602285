"""Measure a model where it runs: its answers, times and operators. All of edgetl's measurements go through here."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgetl.devices.base import Device, Work, Workspace
from edgetl.devices.profiles import Target
from edgetl.errors import RunnerFailed

__all__ = ["TIMED_IMAGES", "Timing", "median_ms", "predict", "profile", "threads_for", "time_model"]

TIMED_IMAGES = 32
"""Largest number of images that take turns in a measurement."""

_LIST = "images.json"


@dataclass(frozen=True)
class Timing:
    """How long a model is timed, in each of two series: the runtime's call alone, and the call with preprocessing."""

    warmup_runs: int = 10
    """Inferences before the first timed one."""

    min_samples: int = 64
    """Fewest timed inferences."""

    min_seconds: float = 0.3
    """Shortest timed period."""

    @property
    def work(self) -> Work:
        """The work that this timing gives a device."""
        return Work(2 * (self.warmup_runs + self.min_samples), 2 * self.min_seconds)


def threads_for(asked: int | Literal["auto"], target: Target, device: Device) -> int:
    """Threads of one inference: those asked for, or the target's, but no more than the device has cores.

    Args:
        asked: The recipe's `bench.threads`.
        target: What the benchmark is for.
        device: Where it runs.
    """
    wanted = target.threads if asked == "auto" else asked
    return min(wanted, int(device.facts()["cores"]))


def predict(
    device: Device, model: Path, images: Sequence[Path], *, threads: int
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Compute a model's probabilities for image files, read as the model's own contract says.

    Args:
        device: Where the model runs.
        model: An artifact.
        images: At least one.
        threads: Threads of one inference.

    Returns:
        Probabilities `(N, K)` in the order of the images, and the facts that the runner's `predict` prints.

    Raises:
        RunnerFailed: The model cannot be opened or run, or an image cannot be read.
    """
    with device.workspace() as there:
        out = there.place("probabilities.npy")
        given = ["--files", _list(there, images), "--threads", str(threads), "--out", out]
        facts = _run(there, "predict", model, given, Work(len(images)))
        probabilities_NK: NDArray[np.float32] = np.load(BytesIO(there.get(out)), allow_pickle=False)
    return probabilities_NK, facts


def time_model(
    device: Device, model: Path, images: Sequence[Path], *, threads: int, timing: Timing = Timing()
) -> dict[str, Any]:
    """Time a model on one image after the other; returns what the runner's `time` prints.

    Raises:
        RunnerFailed: The model cannot be opened or run, the runtime would use another device or precision than asked
            for, or an image cannot be read.
    """
    limits = {"threads": threads, "warmup": timing.warmup_runs, "min-samples": timing.min_samples}
    with device.workspace() as there:
        given = ["--files", _list(there, images), *_options({**limits, "min-seconds": timing.min_seconds})]
        return _run(there, "time", model, given, timing.work)


def profile(
    device: Device, model: Path, images: Sequence[Path], *, threads: int, warmup_runs: int, runs: int
) -> dict[str, Any]:
    """Time a model's operators; returns what the runner's `profile` prints.

    Raises:
        RunnerFailed: The model cannot be opened or run, the runtime would use another device or precision than asked
            for, or an image cannot be read.
    """
    with device.workspace() as there:
        limits = _options({"threads": threads, "warmup": warmup_runs, "runs": runs})
        return _run(there, "profile", model, ["--files", _list(there, images), *limits], Work(warmup_runs + runs))


def median_ms(times: dict[str, Any]) -> float:
    """Median of the inferences that `time_model` timed, in milliseconds."""
    return float(np.median(times["infer_s"])) * 1e3


def _run(there: Workspace, command: str, model: Path, given: list[str], work: Work) -> dict[str, Any]:
    try:
        return there.run([command, there.put(model), *given], work)
    except RunnerFailed as cause:
        raise RunnerFailed(f"{model.name}: {cause}") from cause


def _list(there: Workspace, images: Sequence[Path]) -> str:
    return there.put_text(_LIST, json.dumps([there.put(image) for image in images]))


def _options(values: dict[str, Any]) -> list[str]:
    return [part for name, value in values.items() for part in (f"--{name}", str(value))]
