"""Prune a network to a width and measure the pruned network: its size, its time, its accuracy."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgetl.data.index import read_index
from edgetl.prune.cutting import Cutter
from edgetl.prune.search import Candidate
from edgetl.prune.timing import Stopwatch
from edgetl.runs.stage import StageContext
from edgetl.train.evaluation import evaluate
from edgetl.zoo.build import load_classifier
from edgetl.zoo.classifier import Classifier

__all__ = ["Workbench"]


class Workbench:
    """Prunes and measures a run's student; a width that was measured before is not measured again.

    Args:
        context: The stage's context.
        folder: Where files are written; the caller removes it.
    """

    def __init__(self, context: StageContext, folder: Path) -> None:
        self._context, self._index = context, read_index(context.folder)
        self.unpruned = load_classifier(context.folder)
        with context.reporter.library("judging channels"):
            self._cutter = Cutter(self.unpruned, context.contract.height)
        self.stopwatch = Stopwatch(context, self.unpruned, folder)
        self._known: dict[tuple[torch.Size, ...], Candidate] = {}

    def cut(self, kept: float) -> Classifier:
        """A copy that keeps a fraction of the channels."""
        with self._context.reporter.library("pruning"):
            return self._cutter.cut(kept, self._context.recipe.prune.multiple)

    def measure(self, kept: float) -> Candidate:
        """Prune to a fraction of the channels and measure the pruned network."""
        pruned = self.cut(kept)
        shapes = tuple(parameter.shape for parameter in pruned.parameters())
        if shapes not in self._known:
            found = Candidate(kept, *self.size(pruned), self.stopwatch.time(pruned), self.top1(pruned))
            self._known[shapes] = found
        return replace(self._known[shapes], kept=kept)

    def size(self, classifier: Classifier) -> tuple[int, int]:
        """Parameters, and multiply-adds for one image."""
        side = self._context.contract.height
        return sum(parameter.numel() for parameter in classifier.parameters()), _multiply_adds(classifier, side)

    def top1(self, classifier: Classifier) -> float:
        """Top-1 on the validation images, as a fraction of 1."""
        return evaluate(classifier, self._index, "val", self._context, torch.device("cpu")).top1


def _multiply_adds(classifier: Classifier, side: int) -> int:
    """Multiply-adds of convolutions and linear layers for one image of `side` x `side` pixels."""
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
