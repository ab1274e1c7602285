"""What a training leaves beside its weights: a line for each epoch, and what its probe has wrong."""

from typing import Any

from pydantic import Field

from edgetl.runs.folder import RunFolder
from edgetl.runs.reading import read_lines, read_report
from edgetl.runs.reports import Fraction, Number, Part

__all__ = ["METRICS_FILE", "PROBE_FILE", "PROBE_SCHEMA", "read_epochs", "read_probe"]

METRICS_FILE = "metrics.jsonl"
PROBE_FILE = "probe.json"
PROBE_SCHEMA = 1


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


class _Probe(Part):
    schema_version: int
    head: str
    """Its kind, such as 'logistic regression'."""

    is_kept: bool
    """Whether the run's network is this very head on the pretrained features."""

    test_top1: Fraction
    wrong: list[str]
    """Test images that it has wrong, by their path."""


def read_probe(folder: RunFolder) -> dict[str, Any] | None:
    """What the head says that was fitted to the network's pretrained features; None if none was.

    Raises:
        DamagedFile: It is not what a training wrote.
    """
    return read_report(folder, PROBE_FILE, PROBE_SCHEMA, _Probe)
