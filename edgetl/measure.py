"""How an artifact is measured on this machine: which images, how many threads, and in a process of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgetl.data.index import read_index
from edgetl.environment import machine
from edgetl.errors import RunnerFailed
from edgetl.runner.apart import profile_apart, time_apart
from edgetl.runner.errors import RunnerError
from edgetl.stage import StageContext

__all__ = ["profile_artifact", "threads_of", "time_artifact", "timed_images"]

_MOST_IMAGES = 32


def timed_images(context: StageContext) -> list[Path]:
    """Up to 32 images, evenly over the test split and so over its classes."""
    index = read_index(context.folder)
    samples = index.split("test")
    places = np.linspace(0, len(samples) - 1, num=min(_MOST_IMAGES, len(samples))).astype(int)
    return [index.file(samples[place]) for place in places]


def threads_of(context: StageContext) -> int:
    """Threads of the recipe or the target, but no more than cores: they would wait for each other."""
    asked = context.recipe.bench.threads
    wanted = context.target.threads if asked == "auto" else asked
    cores: int = machine()["cores"]
    return min(wanted, cores)


def time_artifact(
    context: StageContext, file: str, images: list[Path], threads: int, min_seconds: float
) -> dict[str, Any]:
    """Time an artifact with the warm-up and the samples of the recipe; returns what the runner's `time` prints.

    Raises:
        RunFolderError: The file is gone.
        RunnerFailed: The runtime is missing, died, or would not compute where it was asked to.
    """
    bench = context.recipe.bench
    limits = {"warmup_runs": bench.warmup_runs, "min_samples": bench.min_samples, "min_seconds": min_seconds}
    with context.reporter.library("timed inference"):
        return _asked(time_apart, context, file, images, threads=threads, **limits)


def profile_artifact(context: StageContext, file: str, images: list[Path], runs: int) -> dict[str, Any]:
    """Profile an artifact with one thread; returns what the runner's `profile` prints.

    Threads that wait for each other, or for another program's, would be counted as time of an operator.

    Raises:
        RunFolderError: The file is gone.
        RunnerFailed: The runtime is missing, died, or would not compute where it was asked to.
    """
    warmup_runs = context.recipe.bench.warmup_runs
    with context.reporter.library("profiled inference"):
        return _asked(profile_apart, context, file, images, threads=1, warmup_runs=warmup_runs, runs=runs)


def _asked(
    command: Callable[..., dict[str, Any]], context: StageContext, file: str, images: list[Path], **limits: Any
) -> dict[str, Any]:
    try:
        return command(context.folder.file(file), images, **limits)
    except RunnerError as cause:
        raise RunnerFailed(f"{file}: {cause}") from cause
