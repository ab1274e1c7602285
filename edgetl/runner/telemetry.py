"""Keep libraries from reporting home: a measuring tool sends nothing anywhere."""

from __future__ import annotations

import os
import sys

__all__ = ["switch_off_telemetry"]


def switch_off_telemetry() -> None:
    """Keep ONNX Runtime and OpenVINO from collecting and sending usage data; call it before their first import.

    Both would write into the user's home and disturb what is being timed.
    """
    # ONNX Runtime looks while it is imported: it makes a device id and a database of events, and opens sockets. Its
    # own disable_telemetry_events() comes too late for all of this.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # OpenVINO sends from a forked process at every import, unless a file in the home says no. Where the package that
    # reports cannot be imported, it falls back to a stub.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # the import system's word for "no"
