"""What `verify.json` holds."""

from typing import Any

from pydantic import Field, model_validator

from edgetl.runs.folder import RunFolder
from edgetl.runs.reports import Fraction, Named, Number, Part, Runtime
from edgetl.runs.verdict import Status

__all__ = ["VERIFY_FILE", "VERIFY_SCHEMA", "read_proof"]

VERIFY_SCHEMA = 2
VERIFY_FILE = "verify.json"
_MEASURED = ("runtime", "agreement", "ties_left_out", "max_probability_difference", "drop")


class _Verdict(Part):
    status: Status
    reasons: list[str]


class _Artifact(Named):
    verdict: _Verdict
    top1: Fraction | None = None
    """None of a file that was not run, and then the others are None, too."""

    runtime: Runtime | None = None
    agreement: Fraction | None = None
    ties_left_out: int | None = None
    max_probability_difference: Number | None = None
    drop: Number | None = None

    @model_validator(mode="after")
    def _is_measured_or_not(self) -> "_Artifact":
        known = {getattr(self, name) is not None for name in _MEASURED}
        if self.top1 is not None and known != {True}:
            raise ValueError("it has an accuracy, but not all other numbers")
        return self


class _Reference(Part):
    runtime: str
    top1: Fraction


class _Proof(Part):
    schema_version: int
    test_images: int = Field(ge=1)
    reference: _Reference
    artifacts: list[_Artifact]
    passed: bool


def read_proof(folder: RunFolder) -> dict[str, Any] | None:
    """A run's proof, None if it was not verified.

    Raises:
        DamagedFile: It is not what the verify stage wrote.
    """
    return folder.read_report(VERIFY_FILE, VERIFY_SCHEMA, _Proof)
