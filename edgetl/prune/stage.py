"""The prune stage: search for the mildest pruning that is fast enough; write `prune.json` and what is left."""

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from edgetl.artifact import write_atomic
from edgetl.data.index import read_index
from edgetl.environment import machine
from edgetl.processes import Processes
from edgetl.prune.cutting import LEAST_KEPT, Cutter
from edgetl.prune.phases import PRUNE_FILE, PRUNED_FILE
from edgetl.prune.search import MOST_CANDIDATES, Candidate, Choice, choose, search
from edgetl.prune.timing import THREADS, Stopwatch
from edgetl.stage import StageContext, StageResult
from edgetl.train.evaluation import evaluate
from edgetl.train.trained import write_weights
from edgetl.zoo.build import WEIGHTS_FILE, load_classifier
from edgetl.zoo.classifier import Classifier

__all__ = ["PRUNE_SCHEMA", "run"]

PRUNE_SCHEMA = 1


def run(context: StageContext) -> StageResult:
    """Prune the run's student, if that makes it faster here; writes `prune.json`, and the weights if it does.

    Raises:
        RunFolderError: The student was not trained yet.
        RunnerFailed: The runtime by which latency is judged died, or would not compute.
    """
    context = replace(context, processes=Processes())  # those that trained with this one wait
    reporter, config = context.reporter, context.recipe.prune
    _say_where(context)
    with TemporaryDirectory(dir=context.out, prefix=".draft-") as folder:
        bench = _Bench(context, Path(folder))
        with reporter.track("Pruning", MOST_CANDIDATES) as advance:

            def measure(kept: float) -> Candidate:
                candidate = bench.measure(kept)
                advance(1, f"{kept:.0%} of the channels: {candidate.latency.latency_ratio:.2f} of the time")
                return candidate

            candidates = search(config.latency, LEAST_KEPT, measure)
    choice = choose(candidates, config.latency)
    report = _report(context, bench, candidates, choice)
    write_atomic(context.out / PRUNE_FILE, json.dumps(report, indent=1) + "\n")
    if choice.candidate is None:
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


class _Bench:
    """Prunes and measures; a width that comes again is not measured again."""

    def __init__(self, context: StageContext, folder: Path) -> None:
        self._context, self._index = context, read_index(context.folder)
        self.unpruned = load_classifier(context.folder)
        with context.reporter.library("judging channels"):
            self._cutter = Cutter(self.unpruned, context.contract.height)
        self.stopwatch = Stopwatch(context, self.unpruned, folder)
        self._known: dict[tuple[torch.Size, ...], Candidate] = {}

    def cut(self, kept: float) -> Classifier:
        """A copy with a part of the channels."""
        with self._context.reporter.library("pruning"):
            return self._cutter.cut(kept, self._context.recipe.prune.multiple)

    def measure(self, kept: float) -> Candidate:
        """Prune to a part of the channels and measure what is left."""
        pruned = self.cut(kept)
        shapes = tuple(parameter.shape for parameter in pruned.parameters())
        known = self._known.get(shapes)
        latency, val_top1 = (
            (known.latency, known.val_top1) if known else (self.stopwatch.time(pruned), self.top1(pruned))
        )
        self._known[shapes] = Candidate(kept, *self.size(pruned), latency, val_top1)
        return self._known[shapes]

    def size(self, classifier: Classifier) -> tuple[int, int]:
        """Parameters, and multiply-adds of an image."""
        side = self._context.contract.height
        return sum(parameter.numel() for parameter in classifier.parameters()), _multiply_adds(classifier, side)

    def top1(self, classifier: Classifier) -> float:
        """On the validation images."""
        return evaluate(classifier, self._index, "val", self._context, torch.device("cpu")).top1


def _multiply_adds(classifier: Classifier, side: int) -> int:
    """Multiply-adds of filters and matrices for one image of `side` x `side` pixels."""
    counts: list[int] = []

    def note(layer: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        counts.append(output.numel() // len(weight) * weight.numel())

    hooks = [m.register_forward_hook(note) for m in classifier.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    with torch.inference_mode():
        classifier(torch.zeros(1, side, side, 3, dtype=torch.uint8))
    for hook in hooks:
        hook.remove()
    return sum(counts)


def _say_where(context: StageContext) -> None:
    here, target = str(machine()["architecture"]), context.target
    if here != target.architecture:
        context.reporter.say(
            f"Pruning: latency is measured on this machine ({here}), not on {target.name} ({target.architecture})."
        )


def _report(context: StageContext, bench: _Bench, candidates: list[Candidate], choice: Choice) -> dict[str, Any]:
    parameters, multiply_adds = bench.size(bench.unpruned)
    config = context.recipe.prune
    return {
        "schema_version": PRUNE_SCHEMA,
        "measured_on": "this machine",
        "machine": machine(),
        "target": context.target.name,
        "format": bench.stopwatch.format,
        "threads": THREADS,
        "wish": config.latency,
        "multiple": config.multiple,
        "baseline": {
            "weights_sha256": context.folder.manifest["files"][WEIGHTS_FILE]["sha256"],
            "parameters": parameters,
            "multiply_adds": multiply_adds,
            "val_top1": bench.top1(bench.unpruned),
        },
        "candidates": [candidate.to_dict() for candidate in candidates],
        "kept": choice.candidate.kept if choice.candidate else None,
        "reached": choice.reached,
        "why": choice.why,
    }


def _write(context: StageContext, bench: _Bench, candidate: Candidate, report: dict[str, Any]) -> None:
    """Write the weights that are left; their header says what they were, so that a run made from them can."""
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


def _sentence(candidate: Candidate, choice: Choice, bench: _Bench) -> str:
    latency = candidate.latency
    short = "" if choice.reached else f" {choice.why[0].upper()}{choice.why[1:]}."
    return (
        f"Pruned to {candidate.kept:.0%} of the channels: {latency.latency_ratio:.2f} of the time"
        f" ({bench.stopwatch.format}, {latency.p50_ms:.3g} ms beside {latency.unpruned_p50_ms:.3g} ms).{short}"
    )
