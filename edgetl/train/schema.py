"""What `metrics.jsonl` holds: a line for each epoch of a training."""

from typing import Any

from pydantic import Field

from edgetl.runs.folder import RunFolder
from edgetl.runs.reading import read_lines
from edgetl.runs.reports import Fraction, Number, Part

__all__ = ["METRICS_FILE", "read_epochs"]

METRICS_FILE = "metrics.jsonl"


class _Epoch(Part):
    epoch: int = Field(ge=1)
    loss: Number
    val_top1: Fraction | None = None
    """Missing where no image was left to judge by."""

    kept: bool = False
    """Whether the weights of this epoch are those of the run."""


def read_epochs(folder: RunFolder) -> list[dict[str, Any]]:
    """The epochs of a run's training, in order; none if it was not trained here.

    Raises:
        DamagedFile: It is not what a training wrote.
    """
    return read_lines(folder, METRICS_FILE, _Epoch)
