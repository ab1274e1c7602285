"""The bench stage: time every artifact on this machine, each in a fresh process, and write `bench.json`."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edgetl.bench.stats import summarize
from edgetl.bench.timings import BENCH_FILE, BENCH_SCHEMA
from edgetl.data.index import read_index
from edgetl.devices.measuring import TIMED_IMAGES, Timing, time_model
from edgetl.errors import DamagedFile
from edgetl.runs.artifact import Artifact
from edgetl.runs.files import write_json
from edgetl.runs.stage import StageContext, StageResult

__all__ = ["run"]


def run(context: StageContext) -> StageResult:
    """Time every artifact with one image per call, on images of the test split.

    A file that is no longer what its stage wrote is left out, and fails the stage.

    Raises:
        RunFolderError: Nothing has been exported yet.
        DamagedFile: No artifact is what its stage wrote.
        RunnerFailed: A runtime is missing, died, or would use another device or precision than asked for.
    """
    artifacts = context.folder.artifacts()
    damaged = {each.file: damage for each in artifacts if (damage := context.folder.damage_of(each))}
    if len(damaged) == len(artifacts):
        raise DamagedFile(f"{context.folder.path}: {'; '.join(damaged.values())}. Export again")
    entries = []
    images = read_index(context.folder).spread("test", TIMED_IMAGES)
    with context.reporter.track("Bench", len(artifacts) - len(damaged), even=True) as advance:
        for artifact in artifacts:
            if artifact.file not in damaged:
                entries.append(_measure(context, artifact, images))
                advance(1, artifact.file)
    report = {
        "schema_version": BENCH_SCHEMA,
        "measured_on": "this machine",
        "machine": context.device.facts(),
        "target": context.target.name,
        "target_profile": context.target.model_dump(mode="json", include={"architecture", "int8_dot_product"}),
        "artifacts": entries,
    }
    write_json(context.out / BENCH_FILE, report)
    fastest = min(entries, key=lambda entry: entry["inference"]["p50_ms"])
    failure = "; ".join(f"{file}: not timed, {damage}" for file, damage in damaged.items())
    return StageResult(metrics=_metrics(entries, fastest), details={"fastest": fastest["file"]}, failure=failure)


def _measure(context: StageContext, artifact: Artifact, images: list[Path]) -> dict[str, Any]:
    bench = context.recipe.bench
    timing = Timing(bench.warmup_runs, bench.min_samples, bench.min_seconds)
    with context.reporter.library("timed inference"):
        raw = time_model(
            context.device, context.folder.file(artifact.file), images, threads=context.threads, timing=timing
        )
    runtime = raw["runtime"]
    return {
        **artifact.named(),
        "runtime": {key: runtime[key] for key in ("name", "version", "provider")},
        "threads": runtime["threads"],
        "batch": runtime["input_batch"] or 1,
        "size_bytes": artifact.size_bytes,
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
