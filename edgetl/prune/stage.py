"""The prune stage: search for the mildest pruning that is fast enough; write `prune.json` and the pruned network."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgetl.prune.cutting import LEAST_KEPT
from edgetl.prune.phases import PRUNED_FILE
from edgetl.prune.schema import PRUNE_FILE, PRUNE_SCHEMA
from edgetl.prune.search import MOST_CANDIDATES, Candidate, Choice, choose, search
from edgetl.prune.workbench import Workbench
from edgetl.runs.files import write_atomic, write_json
from edgetl.runs.folder import WEIGHTS_FILE
from edgetl.runs.processes import Processes
from edgetl.runs.stage import StageContext, StageResult
from edgetl.train.weights import write_weights

__all__ = ["run"]


def run(context: StageContext) -> StageResult:
    """Prune the run's student if that makes it faster here; write `prune.json` and the weights to continue from.

    Raises:
        RunFolderError: The student has not been trained yet.
        RunnerFailed: The runtime that measures latency died, or could not run the network.
    """
    context = replace(context, processes=Processes())  # the other training processes wait
    reporter, config = context.reporter, context.recipe.prune
    _say_where(context)
    with TemporaryDirectory(dir=context.out, prefix=".draft-") as folder:
        bench = Workbench(context, Path(folder))
        with reporter.track("Pruning", MOST_CANDIDATES, even=True) as advance:

            def measure(kept: float) -> Candidate:
                candidate = bench.measure(kept)
                advance(1, f"{kept:.0%} of the channels: {candidate.latency.latency_ratio:.2f} of the time")
                return candidate

            candidates = search(config.latency, LEAST_KEPT, measure)
    choice = choose(candidates, config.latency)
    report = _report(context, bench, candidates, choice)
    write_json(context.out / PRUNE_FILE, report)
    if choice.candidate is None:
        write_atomic(context.out / PRUNED_FILE, context.folder.file(WEIGHTS_FILE).read_bytes())
        reporter.say(f"Pruning is dropped: {choice.why}.")
        return StageResult()
    _write(context, bench, choice.candidate, report)
    reporter.say(_sentence(choice.candidate, choice, bench))
    return StageResult(
        metrics={
            "latency_ratio": choice.candidate.latency.latency_ratio,
            "kept": choice.candidate.kept,
            "val_top1": choice.candidate.val_top1,
        }
    )


def _say_where(context: StageContext) -> None:
    here, target = str(context.device.facts()["architecture"]), context.target
    if here != target.architecture:
        context.reporter.say(
            f"Pruning: latency is measured on this machine ({here}), not on {target.name} ({target.architecture})."
        )


def _report(context: StageContext, bench: Workbench, candidates: list[Candidate], choice: Choice) -> dict[str, Any]:
    parameters, multiply_adds = bench.size(bench.unpruned)
    config = context.recipe.prune
    return {
        "schema_version": PRUNE_SCHEMA,
        "measured_on": "this machine",
        "machine": context.device.facts(),
        "target": context.target.name,
        "format": bench.stopwatch.format,
        "threads": bench.stopwatch.threads,
        "wish": config.latency,
        "multiple": config.multiple,
        "baseline": {
            "weights_sha256": context.folder.weights_sha256,
            "parameters": parameters,
            "multiply_adds": multiply_adds,
            "val_top1": bench.top1(bench.unpruned),
        },
        "candidates": [candidate.to_dict() for candidate in candidates],
        "kept": choice.candidate.kept if choice.candidate else None,
        "reached": choice.reached,
        "why": choice.why,
    }


def _write(context: StageContext, bench: Workbench, candidate: Candidate, report: dict[str, Any]) -> None:
    """Write the pruned weights; their header records the pruning, so that a run made from them can report it."""
    facts = {
        "unpruned_sha256": report["baseline"]["weights_sha256"],
        "unpruned_parameters": report["baseline"]["parameters"],
        "kept": candidate.kept,
        "multiple": report["multiple"],
        "format": report["format"],
        "wish": report["wish"],
        "latency_ratio": candidate.latency.latency_ratio,
        "p50_ms": candidate.latency.p50_ms,
        "unpruned_p50_ms": candidate.latency.unpruned_p50_ms,
    }
    model = {**context.folder.manifest["model"], "pruned": facts}
    write_weights(context.out / PRUNED_FILE, bench.cut(candidate.kept), model)


def _sentence(candidate: Candidate, choice: Choice, bench: Workbench) -> str:
    latency = candidate.latency
    short = "" if choice.reached else f" {choice.why[0].upper()}{choice.why[1:]}."
    return (
        f"Pruned to {candidate.kept:.0%} of the channels: {latency.latency_ratio:.2f} of the time"
        f" ({bench.stopwatch.format}, {latency.p50_ms:.3g} ms against {latency.unpruned_p50_ms:.3g} ms).{short}"
    )
