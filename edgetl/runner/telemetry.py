"""Keep libraries from reporting home: a measuring tool sends nothing anywhere."""

from __future__ import annotations

import sys

__all__ = ["switch_off_telemetry"]


def switch_off_telemetry() -> None:
    """Make OpenVINO use its own stub; call it before the first import.

    It sends usage data unless a file in the user's home says no, at every import, from a forked process, which also
    disturbs what is being timed. It falls back to a stub when the reporting package cannot be imported.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # the import system's word for "no"
