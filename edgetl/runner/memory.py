"""How much memory this process uses."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

__all__ = ["peak_rss_bytes", "rss_bytes"]

_STATUS = Path("/proc/self/status")


def rss_bytes() -> int:
    """Resident memory now; where the system does not tell, the peak so far."""
    return _from_status("VmRSS") or _maximum()


def peak_rss_bytes() -> int:
    """Largest resident memory since this program started."""
    # Linux hands the maximum of getrusage through fork and exec: a child of a large process begins with its parent's.
    # VmHWM begins anew.
    return _from_status("VmHWM") or _maximum()


def _from_status(key: str) -> int:
    if not _STATUS.is_file():
        return 0
    lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:")), 0)


def _maximum() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
