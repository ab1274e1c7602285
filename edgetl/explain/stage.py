"""The explain stage: time and profile the float and the integer artifact of each format; write `explain.json`."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from edgetl.data.index import read_index
from edgetl.devices.measuring import TIMED_IMAGES, Timing, median_ms, profile, time_model
from edgetl.errors import RunFolderError
from edgetl.explain.case import Case, Machine, Measured
from edgetl.explain.findings import findings
from edgetl.explain.schema import EXPLAIN_FILE, EXPLAIN_SCHEMA
from edgetl.explain.surroundings import about_machine
from edgetl.runner.operators import Operator
from edgetl.runs.artifact import Artifact
from edgetl.runs.files import write_json
from edgetl.runs.stage import StageContext, StageResult

__all__ = ["run"]

_TIMED_S = 0.3
"""Long enough for a median; 'edgetl bench' measures tails and intervals."""

_PROFILES = 3
"""Profiles of each file, of which the fastest counts: a mean over runs that another program disturbed would mislead."""

_PROFILED_MS = 500.0
_FEWEST_RUNS, _MOST_RUNS = 20, 100
"""Half a second of each, within these limits; a longer trace would take more memory than a small device has."""

_SLOWED = 1.1
"""If the operators together take this many times the unprofiled inference, the profiler slowed them down."""


@dataclass(frozen=True)
class _Look:
    """What was measured of one artifact, and with what."""

    measured: Measured
    runtime: dict[str, Any]
    source: str


def run(context: StageContext) -> StageResult:
    """Say of each format whether its integer artifact is faster than its float one here, and why.

    Raises:
        RunFolderError: No format has both.
        RunnerFailed: A runtime is missing, died, or would use another device or precision than asked for.
    """
    pairs = _pairs(context)
    images, formats = read_index(context.folder).spread("test", TIMED_IMAGES), []
    with context.reporter.track("Explain", len(pairs), even=True) as advance:
        for before, after in pairs:
            formats.append(_explain(context, before, after, images))
            advance(1, after.file)
    report = {
        "schema_version": EXPLAIN_SCHEMA,
        "measured_on": "this machine",
        "machine": context.device.facts(),
        "target": context.target.name,
        "about_machine": [asdict(each) for each in about_machine(_machine(context), context.target)],
        "fastest": _fastest(formats),
        "formats": formats,
    }
    write_json(context.out / EXPLAIN_FILE, report)
    return StageResult(
        metrics={f"{each['format']}_{each['integer']['precision']}_speedup": each["speedup"] for each in formats}
    )


def _pairs(context: StageContext) -> list[tuple[Artifact, Artifact]]:
    """Float and integer artifacts of one format."""
    artifacts, path = context.folder.artifacts(), context.folder.path
    floats = {each.format: each for each in artifacts if each.is_exact}
    integers = [each for each in artifacts if each.precision == "w8a8"]
    if not integers:
        raise RunFolderError(f"{path}: has no w8a8 artifact to explain. 'edgetl quantize' makes one")
    pairs = [(floats[each.format], each) for each in integers if each.format in floats]
    if not pairs:
        raise RunFolderError(f"{path}: has no float artifact to compare with. 'edgetl export' makes one")
    return pairs


def _explain(context: StageContext, before: Artifact, after: Artifact, images: list[Path]) -> dict[str, Any]:
    threads = context.threads
    looks = [_look(context, artifact, images, threads) for artifact in (before, after)]
    one_thread_ms = None
    if threads > 1:
        one_thread_ms = (_median_ms(context, before, images, 1), _median_ms(context, after, images, 1))
    cores, in_float = psutil.cpu_count(logical=False), _float_layers(context, after.file)
    case = Case(looks[0].measured, looks[1].measured, threads, one_thread_ms, cores, in_float)
    return {
        "format": after.format,
        "runtime": looks[1].runtime,
        "threads": threads,
        "speedup": case.best_ms[0] / case.best_ms[1],
        "origin": _origin(looks[1], one_thread_ms[1] if one_thread_ms else case.after.p50_ms),
        "float": _told(case.before, case.best_ms[0]),
        "integer": _told(case.after, case.best_ms[1]),
        "findings": [asdict(each) for each in findings(case)],
    }


def _look(context: StageContext, artifact: Artifact, images: list[Path], threads: int) -> _Look:
    p50_ms = _median_ms(context, artifact, images, threads)
    runs = int(min(max(_PROFILED_MS / p50_ms, _FEWEST_RUNS), _MOST_RUNS))
    raw = min((_profile(context, artifact, images, runs) for _ in range(_PROFILES)), key=_total_s)
    operators = tuple(Operator(**each) for each in raw["operators"])
    measured = Measured(artifact.file, artifact.precision, p50_ms, operators, raw["timed"], raw["runs"])
    return _Look(measured, {key: raw["runtime"][key] for key in ("name", "version", "provider")}, raw["source"])


def _total_s(raw: dict[str, Any]) -> float:
    return sum(each["seconds"] or 0.0 for each in raw["operators"])


def _median_ms(context: StageContext, artifact: Artifact, images: list[Path], threads: int) -> float:
    bench, file = context.recipe.bench, context.folder.file(artifact.file)
    timing = Timing(bench.warmup_runs, bench.min_samples, _TIMED_S)
    with context.reporter.library("timed inference"):
        return median_ms(time_model(context.device, file, images, threads=threads, timing=timing))


def _profile(context: StageContext, artifact: Artifact, images: list[Path], runs: int) -> dict[str, Any]:
    """Profile operators with one thread: with several, waiting would count as an operator's time."""
    file, warmup_runs = context.folder.file(artifact.file), context.recipe.bench.warmup_runs
    with context.reporter.library("profiled inference"):
        return profile(context.device, file, images, threads=1, warmup_runs=warmup_runs, runs=runs)


def _machine(context: StageContext) -> Machine:
    facts = context.device.facts()
    return Machine(facts["cpu"], facts["architecture"], tuple(facts["instruction_sets"]))


def _float_layers(context: StageContext, file: str) -> int | None:
    """How many layers the quantizer had to leave in float; None if its record does not say."""
    record = context.folder.stage("quantize") or {}
    return len(record["float_layers"].get(file, [])) if "float_layers" in record else None


def _fastest(formats: list[dict[str, Any]]) -> dict[str, Any]:
    files = [each[side] for each in formats for side in ("float", "integer")]
    fastest = min(files, key=lambda file: file["best_ms"])
    return {"file": fastest["file"], "p50_ms": fastest["best_ms"]}


def _origin(look: _Look, one_thread_ms: float) -> str:
    """Say where the shares come from, and whether profiling distorted them."""
    if not look.measured.timed:
        return f"No shares: {look.source}."
    operators_ms = look.measured.milliseconds()
    caveat = " Profiling itself takes time, so small operators look slower than they are."
    slowed = operators_ms > _SLOWED * one_thread_ms
    all_of_it = f"Shares of the {operators_ms:.3g} ms that all operators take with one thread, by {look.source}."
    return all_of_it + (caveat if slowed else "")


def _told(measured: Measured, best_ms: float) -> dict[str, Any]:
    return {
        "file": measured.file,
        "precision": measured.precision,
        "p50_ms": measured.p50_ms,
        "best_ms": best_ms,
        "operators_ms": measured.milliseconds() if measured.timed else None,
        "operators": list(_operators(measured)),
    }


def _operators(measured: Measured) -> Iterator[dict[str, Any]]:
    for each in measured.operators:
        took_ms = None if each.seconds is None else measured.milliseconds([each])
        told = asdict(each) | {"milliseconds": took_ms}
        del told["seconds"]
        yield told
