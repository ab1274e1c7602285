"""The bench stage: time every artifact on this machine, each in a fresh process, and write `bench.json`."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edgetl.bench.stats import summarize
from edgetl.data.index import read_index
from edgetl.environment import machine
from edgetl.errors import RunnerFailed
from edgetl.runner.errors import RunnerError
from edgetl.runner.launch import call_runner
from edgetl.stage import StageContext, StageResult

__all__ = ["BENCH_SCHEMA", "run"]

BENCH_SCHEMA = 1
_MAX_IMAGES = 32
_START_TIMEOUT_S, _RUN_TIMEOUT_S = 120.0, 20.0
"""Far beyond any honest run; they only end a hanging one."""


def run(context: StageContext) -> StageResult:
    """Time every artifact with one image per call, on images of the test split.

    Raises:
        RunFolderError: Nothing was exported yet.
        RunnerFailed: A runtime is missing, died, or would not compute where it was asked to.
    """
    artifacts = context.folder.artifacts()
    entries = []
    with _image_list(context) as images, context.reporter.track("Bench", len(artifacts)) as advance:
        for artifact in artifacts:
            entries.append(_measure(context, artifact, images))
            advance(1, artifact["file"])
    report = {
        "schema_version": BENCH_SCHEMA,
        "measured_on": "this machine",
        "machine": machine(),
        "target": context.target.name,
        "artifacts": entries,
    }
    (context.out / "bench.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    fastest = min(entries, key=lambda entry: entry["inference"]["p50_ms"])
    return StageResult(metrics=_metrics(entries, fastest), details={"fastest": fastest["file"]})


@contextmanager
def _image_list(context: StageContext) -> Iterator[Path]:
    """A file that names up to 32 images, evenly over the test split and so over its classes."""
    index = read_index(context.folder)
    samples = index.split("test")
    places = np.linspace(0, len(samples) - 1, num=min(_MAX_IMAGES, len(samples))).astype(int)
    chosen = [samples[place] for place in places]
    with tempfile.TemporaryDirectory(prefix="edgetl-") as folder:
        path = Path(folder, "images.json")
        path.write_text(json.dumps([str(index.file(sample).absolute()) for sample in chosen]), encoding="utf-8")
        yield path


def _measure(context: StageContext, artifact: dict[str, str], images: Path) -> dict[str, Any]:
    path = context.folder.file(artifact["file"])
    raw = _time(context, path, images)
    runtime = raw["runtime"]
    return {
        **{key: artifact[key] for key in ("file", "format", "precision")},
        "runtime": {key: runtime[key] for key in ("name", "version", "provider")},
        "threads": runtime["threads"],
        "batch": runtime["input_batch"] or 1,
        "size_bytes": _size_bytes(path),
        "peak_rss_bytes": raw["peak_rss_bytes"],
        "load_ms": raw["load_s"] * 1e3,
        "warmup_runs": raw["warmup_runs"],
        "inference": asdict(summarize(np.array(raw["infer_s"]), seed=context.recipe.seed)),
        "with_preprocessing": asdict(summarize(np.array(raw["total_s"]), seed=context.recipe.seed)),
    }


def _time(context: StageContext, path: Path, images: Path) -> dict[str, Any]:
    bench = context.recipe.bench
    arguments = ["time", str(path), "--files", str(images), "--threads", str(_threads(context))]
    arguments += ["--warmup", str(bench.warmup_runs), "--min-samples", str(bench.min_samples)]
    arguments += ["--min-seconds", str(bench.min_seconds)]
    series_s = bench.min_seconds + _RUN_TIMEOUT_S * (bench.warmup_runs + bench.min_samples)
    try:
        with context.reporter.library("timed inference"):
            return call_runner(arguments, timeout_s=_START_TIMEOUT_S + 2 * series_s)
    except RunnerError as cause:
        raise RunnerFailed(f"{path.name}: {cause}") from cause


def _threads(context: StageContext) -> int:
    """Threads of the recipe or the target, but no more than cores: they would wait for each other."""
    asked = context.recipe.bench.threads
    wanted = context.target.threads if asked == "auto" else asked
    cores: int = machine()["cores"]
    return min(wanted, cores)


def _size_bytes(path: Path) -> int:
    """Size of what must be shipped: OpenVINO keeps the weights in a file beside."""
    weights = path.with_suffix(".bin")
    beside = weights.stat().st_size if path.suffix == ".xml" and weights.is_file() else 0
    return path.stat().st_size + beside


def _metrics(entries: list[dict[str, Any]], fastest: dict[str, Any]) -> dict[str, float]:
    return {
        "fastest_p50_ms": fastest["inference"]["p50_ms"],
        "fastest_p90_ms": fastest["inference"]["p90_ms"],
        "fastest_with_preprocessing_p50_ms": fastest["with_preprocessing"]["p50_ms"],
        "smallest_bytes": min(entry["size_bytes"] for entry in entries),
    }
