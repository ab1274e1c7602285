"""What `verify.json` and `predictions.npz` hold."""

import zipfile
import zlib
from typing import Any, Literal

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray
from pydantic import Field, model_validator

from edgetl.runs.folder import RunFolder
from edgetl.runs.reading import read_report
from edgetl.runs.reports import Fraction, Named, Number, Part, Runtime
from edgetl.runs.verdict import Status

__all__ = ["PREDICTIONS_FILE", "REFERENCE", "VERIFY_FILE", "VERIFY_SCHEMA", "Word", "read_answers", "read_proof"]

VERIFY_SCHEMA = 3
VERIFY_FILE = "verify.json"
PREDICTIONS_FILE = "predictions.npz"
REFERENCE = "reference"
"""Key of the answers that the student gave in PyTorch, beside those of the files."""

Word = Literal["BETTER THAN GUESSING", "NO BETTER THAN GUESSING", "WORSE THAN A LINEAR PROBE", "CANNOT TELL"]
"""What the test images say of the trained network itself."""

_MEASURED = ("runtime", "agreement", "ties_left_out", "max_probability_difference", "drop")


class _Verdict(Part):
    status: Status
    reasons: list[str]


class _Artifact(Named):
    verdict: _Verdict
    top1: Fraction | None = None
    """None if the file was not run; then the other numbers are None, too."""

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


class _Worth(Part):
    word: Word
    sentence: str
    images: int = Field(ge=1)
    low: Fraction
    high: Fraction
    warnings: list[str]


class _Proof(Part):
    schema_version: int
    worth: _Worth
    test_images: int = Field(ge=1)
    reference: _Reference
    artifacts: list[_Artifact]
    passed: bool


def read_proof(folder: RunFolder) -> dict[str, Any] | None:
    """A run's proof; None if it was not verified.

    Raises:
        DamagedFile: It is not what the verify stage wrote.
    """
    return read_report(folder, VERIFY_FILE, VERIFY_SCHEMA, _Proof)


def read_answers(folder: RunFolder) -> dict[str, NDArray[np.float32]] | None:
    """Probabilities `(N, K)` of the test split by file, and by `REFERENCE`; None if the run was not verified.

    Raises:
        DamagedFile: They are not what the verify stage wrote.
    """
    if PREDICTIONS_FILE not in folder.manifest["files"]:
        return None
    file = folder.file(PREDICTIONS_FILE)
    try:
        with file.open("rb") as stream, NpzFile(stream, allow_pickle=False) as arrays:
            answers = {name: arrays[name] for name in arrays.files}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as cause:
        raise folder.damaged(PREDICTIONS_FILE, str(cause)) from cause
    if REFERENCE not in answers:
        raise folder.damaged(PREDICTIONS_FILE, "the trained network's own answers are missing")
    shape = (*answers[REFERENCE].shape[:1], len(folder.contract.labels))
    for name, each in answers.items():
        if each.dtype != np.float32 or each.shape != shape or not np.isfinite(each).all():
            raise folder.damaged(PREDICTIONS_FILE, f"{name}: not probabilities of {shape[-1]} classes")
    return answers
