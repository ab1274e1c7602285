"""The receipt's file: its name, its schema version, and how to read it without the libraries that make it."""

from typing import Any

from pydantic import model_validator

from edgetl.runs.folder import RunFolder
from edgetl.runs.reading import read_report
from edgetl.runs.reports import Fraction, Named, Number, Part
from edgetl.runs.verdict import Limits

__all__ = ["RECEIPT_FILE", "RECEIPT_SCHEMA", "read_receipt", "shortfalls_of"]

RECEIPT_FILE = "quantize.json"
RECEIPT_SCHEMA = 3


class _Measured(Part):
    top1: Fraction
    drop: Number
    drop_error: Number
    flips: Fraction
    flips_low: Number
    flips_high: Number
    p50_ms: Number
    size_bytes: int


class _Attempt(Named):
    rung: str
    note: str
    passed: bool
    problem: str
    seconds: Number
    in_float: list[str]
    measured: _Measured | None


class _Kept(Part):
    rung: str
    note: str
    passed: bool
    drop: Number
    flips: Fraction


class _Limits(Part):
    max_drop: Fraction
    max_flips: Fraction


class _Refused(Part):
    format: str
    precision: str
    reason: str


class _Cost(Part):
    sqnr_db: float
    """Infinite where rounding changes nothing."""

    flips: Number
    divergence: Number


class _Unit(Part):
    name: str
    alone: _Cost
    without: _Cost


class _Spread(Part):
    images: int
    top1_spread: Number
    scores: list[dict[str, Number]]


class _Receipt(Part):
    validation_images: int
    reference_top1: Fraction
    limits: _Limits
    attempts: list[_Attempt]
    kept: dict[str, _Kept | None]
    refused: list[_Refused]
    calibration_spread: _Spread | None
    dead_layers: list[str]
    sensitivity: list[_Unit] | None
    warnings: list[str]

    @model_validator(mode="after")
    def _every_file_was_kept_or_not(self) -> "_Receipt":
        if strange := {each.file for each in self.attempts} - self.kept.keys():
            raise ValueError(f"it does not say whether {min(strange)} was kept")
        return self


def read_receipt(folder: RunFolder) -> dict[str, Any] | None:
    """A run's receipt, None if it was not quantized.

    Raises:
        DamagedFile: It was changed, or is another edgetl's.
    """
    return read_report(folder, RECEIPT_FILE, RECEIPT_SCHEMA, _Receipt)


def shortfalls_of(folder: RunFolder, limits: Limits) -> dict[str, list[str]]:
    """What is outside the limits on the validation images, by file; a proof on other images must mention it.

    Raises:
        DamagedFile: The receipt was changed, or is another edgetl's.
    """
    receipt = read_receipt(folder) or {"kept": {}}
    kept = {file: each for file, each in receipt["kept"].items() if each}
    return {file: limits.failures(each["drop"], each["flips"]) for file, each in kept.items()}
