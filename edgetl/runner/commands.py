"""What the runner does: predict files, and time a model on them. Both return facts as plain JSON data."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .backends import backend_for, open_model
from .backends.base import Backend, Session
from .contract import Contract, UnreadableImage, load_image
from .errors import BrokenModel, RunnerError
from .memory import peak_rss_bytes, rss_bytes
from .timing import time_calls

__all__ = ["predict", "profile_model", "read_contract", "read_list", "time_model"]

_FILES_AT_ONCE = 128


def read_list(path: Path) -> list[Path]:
    """Read a JSON array of image paths.

    Raises:
        RunnerError: It cannot be read, is something else, or is empty.
    """
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise RunnerError(f"{path}: cannot be read as a list of images ({cause})") from cause
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise RunnerError(f"{path}: expected a JSON array of image paths, at least one")
    return [Path(name) for name in names]


def read_contract(path: Path) -> Contract:
    """Read a contract from a JSON file.

    Raises:
        RunnerError: It cannot be read, or is none.
    """
    try:
        return Contract.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise RunnerError(f"{path}: cannot be read as a contract ({cause})") from cause


def predict(
    path: Path, files: list[Path], session: Session, *, contract: Contract | None = None
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Compute what a model says about image files.

    Args:
        path: The model.
        files: Images, at least one.
        session: How to run it.
        contract: How a file becomes the input; by default what the model carries.

    Returns:
        Probabilities `(N, K)` in the order of `files`, and facts: `images`, `runtime`, and the embedded `contract` as
        text (None if the model carries none).

    Raises:
        RunnerError: The model cannot be opened or run, carries no contract, or an image cannot be read.
    """
    model = open_model(path, session)
    contract = contract or _embedded(path, model)
    starts = range(0, len(files), _FILES_AT_ONCE)
    parts = [model.run(_read_images(contract, files[start : start + _FILES_AT_ONCE])) for start in starts]
    probabilities_NK = np.concatenate(parts)
    classes = probabilities_NK.shape[1]
    if classes != len(contract.labels):
        raise BrokenModel(f"{path}: gives {classes} classes, its contract names {len(contract.labels)}")
    return probabilities_NK, {"images": len(files), "runtime": model.facts(), "contract": model.contract_json()}


def time_model(
    path: Path,
    files: list[Path],
    session: Session,
    *,
    warmup_runs: int,
    min_samples: int,
    min_seconds: float,
    clock: Callable[[], float],
) -> dict[str, Any]:
    """Time a model on one image after the other.

    Two series, each with its own warm-up, and each at least `min_samples` long and `min_seconds` in sum: `infer_s` is
    the runtime's call alone; `total_s` also decodes, resizes and hands over, from encoded bytes in memory. The images
    take turns. A fixed batch of more than one is filled with copies, and its time is that of the whole batch.

    Returns:
        `infer_s`, `total_s` (seconds per call), `warmup_runs` before each, `load_s` (opening the file, without
        importing the runtime), `rss_before_load_bytes` (before the runtime is imported), `peak_rss_bytes` and
        `runtime`.

    Raises:
        RunnerError: The model cannot be opened or run, carries no contract, or an image cannot be read.
    """
    rss_before_load_bytes = rss_bytes()
    backend_for(path).runtime()
    start = clock()
    model = open_model(path, session)
    load_s = clock() - start
    contract = _embedded(path, model)
    sources = [_read_bytes(file) for file in files]
    feeds = _feeds(model, contract, files)

    def total(turn: int) -> None:
        image = contract.preprocess(load_image(sources[turn % len(sources)]))
        model.finish(model.infer(model.prepare(_batch(model, image[np.newaxis]))))

    limits: dict[str, Any] = {"warmup_runs": warmup_runs, "min_samples": min_samples, "min_seconds": min_seconds}
    return {
        "infer_s": time_calls(lambda turn: model.infer(feeds[turn % len(feeds)]), **limits, clock=clock),
        "total_s": time_calls(total, **limits, clock=clock),
        "warmup_runs": warmup_runs,
        "load_s": load_s,
        "rss_before_load_bytes": rss_before_load_bytes,
        "peak_rss_bytes": peak_rss_bytes(),
        "runtime": model.facts(),
    }


def profile_model(path: Path, files: list[Path], session: Session, *, warmup_runs: int, runs: int) -> dict[str, Any]:
    """Tell which operators the runtime executes, and how long each takes.

    Returns:
        `operators`, each with `name`, `type`, `computes` (integer, float or None), `calls` of a run and `seconds` over
        all `runs` (None where the runtime tells none, and then `timed` is false); `source` of the times, or why there
        are none; `warmup_runs` and `runtime`.

    Raises:
        RunnerError: The model cannot be opened or run, carries no contract, or an image cannot be read.
    """
    model = open_model(path, session)
    feeds = _feeds(model, _embedded(path, model), files)
    profile = model.profile(feeds, warmup_runs=warmup_runs, runs=runs)
    return {**asdict(profile), "runs": runs, "warmup_runs": warmup_runs, "runtime": model.facts()}


def _feeds(model: Backend, contract: Contract, files: list[Path]) -> list[Any]:
    return [model.prepare(_batch(model, image[np.newaxis])) for image in _read_images(contract, files)]


def _embedded(path: Path, model: Backend) -> Contract:
    text = model.contract_json()
    if text is None:
        raise RunnerError(f"{path}: carries no contract. 'predict' takes one with --contract FILE.json")
    try:
        return Contract.from_json(text)
    except ValueError as cause:
        raise BrokenModel(f"{path}: carries a contract that cannot be read ({cause})") from cause


def _read_images(contract: Contract, files: list[Path]) -> NDArray[np.uint8]:
    return np.stack([contract.preprocess(_decode(file)) for file in files])


def _decode(file: Path) -> Any:
    try:
        return load_image(file)
    except UnreadableImage as cause:
        raise RunnerError(f"{file}: cannot be read as an image ({cause})") from cause


def _read_bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as cause:
        raise RunnerError(f"{file}: cannot be read ({cause.strerror})") from cause


def _batch(model: Backend, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return images if model.batch in (None, 1) else np.repeat(images, model.batch, axis=0)
