"""What `prune.json` holds."""

from typing import Any

from edgetl.recipe.fields import Format
from edgetl.runs.folder import RunFolder
from edgetl.runs.reading import read_report
from edgetl.runs.reports import Fraction, Number, Part

__all__ = ["PRUNE_FILE", "PRUNE_SCHEMA", "read_widths"]

PRUNE_SCHEMA = 1
PRUNE_FILE = "prune.json"


class _Baseline(Part):
    parameters: int


class _Candidate(Part):
    kept: Fraction
    parameters: int
    latency_ratio: Number
    p50_ms: Number
    unpruned_p50_ms: Number


class _Widths(Part):
    schema_version: int
    format: Format
    wish: Number
    multiple: int
    baseline: _Baseline
    candidates: list[_Candidate]
    kept: Fraction | None
    reached: bool
    why: str


def read_widths(folder: RunFolder) -> dict[str, Any] | None:
    """The widths that were measured, and the one that was kept; None if the run was not pruned.

    Raises:
        DamagedFile: It is not what the prune stage wrote.
    """
    return read_report(folder, PRUNE_FILE, PRUNE_SCHEMA, _Widths)
