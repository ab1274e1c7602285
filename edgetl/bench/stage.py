"""The bench stage: time every artifact on this machine, each in a fresh process, and write `bench.json`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edgetl.artifact import shipped_bytes
from edgetl.bench.stats import summarize
from edgetl.environment import machine
from edgetl.measure import threads_of, time_artifact, timed_images
from edgetl.stage import StageContext, StageResult

__all__ = ["BENCH_SCHEMA", "run"]

BENCH_SCHEMA = 1


def run(context: StageContext) -> StageResult:
    """Time every artifact with one image per call, on images of the test split.

    Raises:
        RunFolderError: Nothing was exported yet.
        RunnerFailed: A runtime is missing, died, or would not compute where it was asked to.
    """
    artifacts = context.folder.artifacts()
    entries = []
    images = timed_images(context)
    with context.reporter.track("Bench", len(artifacts)) as advance:
        for artifact in artifacts:
            entries.append(_measure(context, artifact, images))
            advance(1, artifact["file"])
    report = {
        "schema_version": BENCH_SCHEMA,
        "measured_on": "this machine",
        "machine": machine(),
        "target": context.target.name,
        "target_profile": context.target.model_dump(mode="json", include={"architecture", "int8_dot_product"}),
        "artifacts": entries,
    }
    (context.out / "bench.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    fastest = min(entries, key=lambda entry: entry["inference"]["p50_ms"])
    return StageResult(metrics=_metrics(entries, fastest), details={"fastest": fastest["file"]})


def _measure(context: StageContext, artifact: dict[str, str], images: list[Path]) -> dict[str, Any]:
    bench = context.recipe.bench
    raw = time_artifact(context, artifact["file"], images, threads_of(context), bench.min_seconds)
    runtime = raw["runtime"]
    return {
        **{key: artifact[key] for key in ("file", "format", "precision")},
        "runtime": {key: runtime[key] for key in ("name", "version", "provider")},
        "threads": runtime["threads"],
        "batch": runtime["input_batch"] or 1,
        "size_bytes": shipped_bytes(context.folder.file(artifact["file"])),
        "peak_rss_bytes": raw["peak_rss_bytes"],
        "load_ms": raw["load_s"] * 1e3,
        "warmup_runs": raw["warmup_runs"],
        "inference": asdict(summarize(np.array(raw["infer_s"]), seed=context.recipe.seed)),
        "with_preprocessing": asdict(summarize(np.array(raw["total_s"]), seed=context.recipe.seed)),
    }


def _metrics(entries: list[dict[str, Any]], fastest: dict[str, Any]) -> dict[str, float]:
    return {
        "fastest_p50_ms": fastest["inference"]["p50_ms"],
        "fastest_p90_ms": fastest["inference"]["p90_ms"],
        "fastest_with_preprocessing_p50_ms": fastest["with_preprocessing"]["p50_ms"],
        "smallest_bytes": min(entry["size_bytes"] for entry in entries),
    }
