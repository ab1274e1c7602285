"""How an artifact is measured on this machine: which images, how many threads, and in a process of its own."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from edgetl.data.index import read_index
from edgetl.environment import machine
from edgetl.errors import RunnerFailed
from edgetl.runner.errors import RunnerError
from edgetl.runner.launch import call_runner
from edgetl.stage import StageContext

__all__ = ["image_list", "profile_artifact", "threads_of", "time_artifact"]

_MAX_IMAGES = 32
_START_TIMEOUT_S, _RUN_TIMEOUT_S = 120.0, 20.0
"""Far beyond any honest run; they only end a hanging one."""


@contextmanager
def image_list(context: StageContext) -> Iterator[Path]:
    """A file that names up to 32 images, evenly over the test split and so over its classes."""
    index = read_index(context.folder)
    samples = index.split("test")
    places = np.linspace(0, len(samples) - 1, num=min(_MAX_IMAGES, len(samples))).astype(int)
    chosen = [samples[place] for place in places]
    with tempfile.TemporaryDirectory(prefix="edgetl-") as folder:
        path = Path(folder, "images.json")
        path.write_text(json.dumps([str(index.file(sample).absolute()) for sample in chosen]), encoding="utf-8")
        yield path


def threads_of(context: StageContext) -> int:
    """Threads of the recipe or the target, but no more than cores: they would wait for each other."""
    asked = context.recipe.bench.threads
    wanted = context.target.threads if asked == "auto" else asked
    cores: int = machine()["cores"]
    return min(wanted, cores)


def time_artifact(context: StageContext, file: str, images: Path, threads: int, min_seconds: float) -> dict[str, Any]:
    """Time an artifact with the warm-up and the samples of the recipe; returns what the runner's `time` prints.

    Raises:
        RunFolderError: The file is gone.
        RunnerFailed: The runtime is missing, died, or would not compute where it was asked to.
    """
    bench = context.recipe.bench
    options = ["--warmup", str(bench.warmup_runs), "--min-samples", str(bench.min_samples)]
    options += ["--min-seconds", str(min_seconds)]
    series_s = min_seconds + _RUN_TIMEOUT_S * (bench.warmup_runs + bench.min_samples)
    with context.reporter.library("timed inference"):
        return _ask("time", context, file, images, threads, options, 2 * series_s)


def profile_artifact(context: StageContext, file: str, images: Path, runs: int) -> dict[str, Any]:
    """Profile an artifact with one thread; returns what the runner's `profile` prints.

    Threads that wait for each other, or for another program's, would be counted as time of an operator.

    Raises:
        RunFolderError: The file is gone.
        RunnerFailed: The runtime is missing, died, or would not compute where it was asked to.
    """
    warmup_runs = context.recipe.bench.warmup_runs
    options = ["--warmup", str(warmup_runs), "--runs", str(runs)]
    with context.reporter.library("profiled inference"):
        return _ask("profile", context, file, images, 1, options, _RUN_TIMEOUT_S * (warmup_runs + runs))


def _ask(
    command: str, context: StageContext, file: str, images: Path, threads: int, options: list[str], series_s: float
) -> dict[str, Any]:
    arguments = [command, str(context.folder.file(file)), "--files", str(images), "--threads", str(threads), *options]
    try:
        return call_runner(arguments, timeout_s=_START_TIMEOUT_S + series_s)
    except RunnerError as cause:
        raise RunnerFailed(f"{file}: {cause}") from cause
