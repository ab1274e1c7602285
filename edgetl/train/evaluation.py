"""Accuracy and loss of a classifier on a split."""

from dataclasses import dataclass

import torch
from torch import nn

from edgetl.data.index import ImageIndex
from edgetl.data.loader import ordered_batches
from edgetl.stage import StageContext

__all__ = ["Score", "evaluate"]

_BATCH = 64


@dataclass(frozen=True)
class Score:
    """How a classifier does on a split."""

    top1: float
    """Part of the images whose most probable class is right, as a fraction of 1."""

    loss: float
    """Mean cross-entropy, in nats."""


def evaluate(model: nn.Module, index: ImageIndex, split: str, context: StageContext, device: torch.device) -> Score:
    """Score a model on every image of a split, preprocessed as the contract says."""
    model.eval()
    right, loss, seen = 0, 0.0, 0
    workers = context.recipe.data.workers
    for batch in ordered_batches(index, split, context.contract, batch_size=_BATCH, workers=workers):
        with torch.inference_mode(), context.reporter.library("validation inference"):
            here = batch.to(device)
            logits_NK = model(here.images_NHWC)
            right += int((logits_NK.argmax(1) == here.labels_N).sum())
            loss += float(nn.functional.cross_entropy(logits_NK, here.labels_N, reduction="sum"))
            seen += len(here.labels_N)
    return Score(right / seen, loss / seen)
