"""What happens when a training diverges: the last good weights are written, and one line says where and what to do."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import torch

from edgetl.errors import ConfigError
from edgetl.train.best import BestEpoch
from edgetl.train.weights import write_weights
from edgetl.zoo.classifier import Classifier

__all__ = ["LAST_GOOD_FILE", "are_finite", "diverged", "first_bad"]

LAST_GOOD_FILE = "last-good.safetensors"
"""In the run folder; a start for `--set teacher.weights=...`."""


def are_finite(tensors: Iterable[torch.Tensor]) -> bool:
    """Whether all numbers of some tensors are finite."""
    largest = [value.detach().abs().max().float() for value in tensors if value.is_floating_point() and value.numel()]
    return not largest or math.isfinite(float(torch.stack(largest).sum()))


def first_bad(losses: Sequence[torch.Tensor]) -> int | None:
    """Position of the first loss that is no number, or infinite; None if all are finite."""
    if not losses:
        return None
    bad_S = ~torch.isfinite(torch.stack(list(losses)))
    return int(bad_S.nonzero()[0]) if bad_S.any() else None


def diverged(
    problem: str,
    best: BestEpoch,
    network: torch.nn.Module,
    folder: Path | None,
    *,
    section: Literal["teacher", "student"],
    peak: float,
    clips: bool,
) -> ConfigError:
    """Write the last good weights, and return the error to raise.

    Args:
        problem: What was found, and where.
        best: The best epoch so far; its weights are put back.
        network: The whole network that is trained, or a part of it was.
        folder: Where to write; None to write nothing, as another process does.
        section: Section of the recipe.
        peak: Highest learning rate of the schedule.
        clips: Whether gradients are clipped already.
    """
    rate = f"{section}.learning_rate"
    cure = f"Lower the rate with --set {rate}={peak / 10:g}"
    if not clips:
        cure += f", or limit gradients with --set {section}.clip_norm=1"
    file = folder / LAST_GOOD_FILE if folder else None
    if not best.epoch:
        kept = "No epoch had ended before, so there are no good weights to keep."
    else:
        best.put_back()
        kept = f"The weights of epoch {best.epoch} were the last good ones."
        if file and isinstance(network, Classifier) and network.entry:
            write_weights(file, network, network.entry)
            kept = f"Good weights, of epoch {best.epoch}, are in {file}; start from them with --set"
            kept += f" {section}.weights={file}."
    return ConfigError(rate, f"the training diverged: {problem}", hint=f"{kept} {cure}.")
