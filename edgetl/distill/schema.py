"""What `control.json` holds."""

from pydantic import Field

from edgetl.distill.paired import Gain
from edgetl.runs.folder import RunFolder
from edgetl.runs.reading import read_report
from edgetl.runs.reports import Fraction, Number, Part

__all__ = ["CONTROL_FILE", "CONTROL_SCHEMA", "read_gain"]

CONTROL_SCHEMA = 1
CONTROL_FILE = "control.json"


class _Gain(Part):
    points: Number
    low: Number
    high: Number
    seeds: int = Field(ge=1)
    images: int = Field(ge=1)


class _Control(Part):
    schema_version: int
    gain: _Gain
    top1_with_teacher: list[Fraction]
    top1_without_teacher: list[Fraction]


def read_gain(folder: RunFolder) -> Gain | None:
    """What the teacher gave, None if nobody asked.

    Raises:
        DamagedFile: It is not what the control stage wrote.
    """
    found = read_report(folder, CONTROL_FILE, CONTROL_SCHEMA, _Control)
    return Gain(**{name: found["gain"][name] for name in _Gain.model_fields}) if found else None
