"""What `explain.json` holds."""

from typing import Any

from pydantic import Field

from edgetl.recipe.fields import Format
from edgetl.runs.folder import RunFolder
from edgetl.runs.reading import read_report
from edgetl.runs.reports import Fraction, Number, Part, Runtime

__all__ = ["EXPLAIN_FILE", "EXPLAIN_SCHEMA", "read_reasons"]

EXPLAIN_SCHEMA = 1
EXPLAIN_FILE = "explain.json"


class _Finding(Part):
    what: str
    share: Fraction | None
    milliseconds: Number | None
    advice: str


class _Explained(Part):
    format: Format
    runtime: Runtime
    threads: int
    origin: str
    findings: list[_Finding] = Field(min_length=1)


class _Machine(Part):
    cpu: str
    architecture: str
    instruction_sets: list[str]


class _Fastest(Part):
    file: str
    p50_ms: Number


class _Reasons(Part):
    schema_version: int
    measured_on: str
    machine: _Machine
    about_machine: list[_Finding]
    fastest: _Fastest
    formats: list[_Explained]


def read_reasons(folder: RunFolder) -> dict[str, Any] | None:
    """Why a run's integer files are faster or not; None if 'explain' has not run.

    Raises:
        DamagedFile: It is not what the explain stage wrote.
    """
    return read_report(folder, EXPLAIN_FILE, EXPLAIN_SCHEMA, _Reasons)
