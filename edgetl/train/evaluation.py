"""Accuracy and loss of a classifier on some images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgetl.data.index import ImageIndex, Sample
from edgetl.data.loader import ordered_batches
from edgetl.data.views import Views
from edgetl.runner.contract import Contract
from edgetl.runs.stage import StageContext

__all__ = ["Score", "evaluate"]

_BATCH = 64


@dataclass(frozen=True)
class Score:
    """The result of a classifier on some images."""

    right_N: NDArray[np.bool_]
    """Whether the most probable class is the true one, per image."""

    loss: float
    """Mean cross-entropy, in nats."""

    @property
    def top1(self) -> float:
        """Fraction of the images that are right."""
        return float(self.right_N.mean())

    def balanced_top1(self, labels_N: Sequence[int]) -> float:
        """Mean over the classes of the fraction of their images that are right, for images of these classes.

        Top-1 itself says little of rare classes: with 95 images of one and 5 of another, naming the first gives 95 %.
        """
        labels = np.asarray(labels_N)
        return float(np.mean([self.right_N[labels == label].mean() for label in np.unique(labels)]))


def evaluate(
    model: nn.Module,
    index: ImageIndex,
    images: str | Sequence[Sample],
    context: StageContext,
    device: torch.device,
    *,
    contract: Contract | None = None,
) -> Score:
    """Score a model on a split, or on some images; processes share the work.

    Args:
        model: From `uint8 (N, H, W, 3)` to logits.
        index: The data set.
        images: A split's name, or images.
        context: The stage's context.
        device: Where the model runs; it must be there already.
        contract: How images are preprocessed; by default as the run's own contract says.
    """
    model.eval()
    samples = index.split(images) if isinstance(images, str) else images
    processes = context.processes
    processes.spread(model.state_dict().values())  # the statistics of batch norm differ between processes
    batches = ordered_batches(
        index,
        samples,
        Views(contract or context.contract),
        batch_size=_BATCH,
        workers=context.recipe.data.workers,
        share=(processes.rank, processes.count),
    )
    seen: list[tuple[list[int], list[bool], float]] = []
    for batch in batches:
        with torch.inference_mode(), context.reporter.library("validation inference"):
            here = batch.to(device)
            logits_NK = model(here.images_NHWC)
            right = (logits_NK.argmax(1) == here.labels_N).tolist()
            loss = float(nn.functional.cross_entropy(logits_NK, here.labels_N, reduction="sum"))
        seen.append((batch.positions_N.tolist(), right, loss))
    right_N = np.zeros(len(samples), np.bool_)
    everyone = [each for share in processes.gather(seen) for each in share]
    for positions, right, _ in everyone:
        right_N[positions] = right
    return Score(right_N, sum(loss for _, _, loss in everyone) / len(samples))
