"""Keep libraries from reporting home: a measuring tool sends nothing anywhere."""

import sys

__all__ = ["switch_off_telemetry"]


def switch_off_telemetry() -> None:
    """Make OpenVINO and NNCF use their own stubs; call it before the first import of either.

    Both send usage data unless a file in the user's home says no, at every import, from a forked process, which also
    disturbs what is being timed. Both fall back to a stub when the reporting package cannot be imported.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # the import system's word for "no"
