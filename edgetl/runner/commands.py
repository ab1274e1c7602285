"""What the runner's commands do with a model. Each returns facts as plain JSON data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .backends import backend_for
from .backends.base import Backend
from .comparison import compare, read_probabilities
from .contract import Contract
from .errors import RunnerError
from .guard import within
from .images import noise_jpegs
from .memory import peak_rss_bytes, rss_bytes
from .model import ImageSource, Model, Prediction
from .timing import time_calls

__all__ = ["predict", "profile_model", "read_contract", "time_model", "top_labels", "verify"]


def read_contract(path: Path) -> Contract:
    """Read a contract from a JSON file.

    Raises:
        RunnerError: It cannot be read, or is none.
    """
    try:
        return Contract.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise RunnerError(f"{path}: cannot be read as a contract ({cause})") from cause


def predict(model: Model, files: Sequence[Path]) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Compute what a model says about image files, at least one.

    Returns:
        Probabilities `(N, K)` in the order of `files`, and facts: `images`, `runtime`, and the embedded `contract` as
        text (None if the model carries none).

    Raises:
        RunnerError: The model cannot be run, or an image cannot be read.
    """
    facts = {"images": len(files), "runtime": model.backend.facts(), "contract": model.backend.contract_json()}
    return model.probabilities(files), facts


def top_labels(model: Model, files: Sequence[Path], top: int) -> dict[str, Any]:
    """Say what image files show.

    Returns:
        `predictions`, each with its `image` and the `top` labels, the best first, with their probabilities; `runtime`.

    Raises:
        RunnerError: The model cannot be run, or an image cannot be read.
    """
    rows = (Prediction(model.labels, row) for row in model.probabilities(files))
    told = [
        {"image": str(file), "top": [{"label": label, "probability": p} for label, p in row.top(top)]}
        for file, row in zip(files, rows)
    ]
    return {"predictions": told, "runtime": model.backend.facts()}


def verify(model: Model, files: Sequence[Path], reference: Path, *, max_difference: float) -> dict[str, Any]:
    """Compare what a model says here with what was recorded elsewhere.

    Args:
        model: The model.
        files: Images, at least one.
        reference: A NumPy file of probabilities `(N, K)`, in the order of `files`.
        max_difference: Largest difference of one probability that is allowed, 0 to 1.

    Returns:
        What `comparison.compare` does, and `runtime`.

    Raises:
        RunnerError: The model cannot be run, or an image or the reference cannot be read.
    """
    recorded_NK = read_probabilities(reference, len(files), len(model.labels))
    found = compare(model.probabilities(files), recorded_NK, files, model.labels, max_difference=max_difference)
    return {**found, "runtime": model.backend.facts()}


def time_model(
    path: Path,
    files: Sequence[Path],
    *,
    threads: int,
    warmup_runs: int,
    min_samples: int,
    min_seconds: float,
    clock: Callable[[], float],
) -> dict[str, Any]:
    """Time a model on one image after the other.

    Two series, each with its own warm-up, and each at least `min_samples` long and `min_seconds` in sum: `infer_s` is
    the runtime's call alone; `total_s` also decodes, resizes and hands over, from encoded bytes in memory. The images
    take turns; without any, they are JPEGs of noise, as large as the input. A fixed batch of more than one is filled
    with copies, and its time is that of the whole batch.

    Returns:
        `infer_s`, `total_s` (seconds per call), `warmup_runs` before each, `load_s` (opening the file, without
        importing the runtime), `rss_before_load_bytes` (before the runtime is imported), `peak_rss_bytes`, `images`
        (how many, or "noise") and `runtime`.

    Raises:
        RunnerError: The model cannot be opened or run, carries no contract, or an image cannot be read.
    """
    rss_before_load_bytes = rss_bytes()
    backend_for(path).runtime()
    start = clock()
    model = Model.open(path, threads)
    load_s = clock() - start
    backend, contents = model.backend, [_read_bytes(file) for file in files] or noise_jpegs(model.contract)
    feeds = _feeds(model, files or contents)

    def total(turn: int) -> None:
        images = model.preprocess([contents[turn % len(contents)]])
        backend.finish(backend.infer(backend.prepare(_batch(backend, images))))

    limits: dict[str, Any] = {"warmup_runs": warmup_runs, "min_samples": min_samples, "min_seconds": min_seconds}
    return {
        "infer_s": time_calls(lambda turn: backend.infer(feeds[turn % len(feeds)]), **limits, clock=clock),
        "total_s": time_calls(total, **limits, clock=clock),
        "warmup_runs": warmup_runs,
        "load_s": load_s,
        "rss_before_load_bytes": rss_before_load_bytes,
        "peak_rss_bytes": peak_rss_bytes(),
        "images": len(files) or "noise",
        "runtime": backend.facts(),
    }


def profile_model(path: Path, files: Sequence[Path], *, threads: int, warmup_runs: int, runs: int) -> dict[str, Any]:
    """Tell which operators the runtime executes, and how long each takes, on files or, without any, on noise.

    Returns:
        `operators`, each with `name`, `type`, `computes` (integer, float or None), `calls` of a run and `seconds` over
        all `runs` (None where the runtime tells none, and then `timed` is false); `source` of the times, or why there
        are none; `warmup_runs`, `images` (how many, or "noise") and `runtime`.

    Raises:
        RunnerError: The model cannot be opened or run, carries no contract, or an image cannot be read.
    """
    model = Model.open(path, threads)
    feeds = _feeds(model, files or noise_jpegs(model.contract))
    with within(warmup_runs + runs):
        profile = model.backend.profile(feeds, warmup_runs=warmup_runs, runs=runs)
    counts = {"runs": runs, "warmup_runs": warmup_runs, "images": len(files) or "noise"}
    return {**asdict(profile), **counts, "runtime": model.backend.facts()}


def _feeds(model: Model, images: Sequence[ImageSource]) -> list[Any]:
    backend = model.backend
    return [backend.prepare(_batch(backend, model.preprocess([image]))) for image in images]


def _read_bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as cause:
        raise RunnerError(f"{file}: cannot be read ({cause.strerror})") from cause


def _batch(backend: Backend, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return images if backend.batch in (None, 1) else np.repeat(images, backend.batch, axis=0)
