"""Where edgetl keeps what it can make again, and the results of earlier scans there."""

import hashlib
import json
import os
from dataclasses import astuple
from pathlib import Path

import PIL

from edgetl.data.probe import Probe
from edgetl.errors import EnvironmentFault
from edgetl.runs.files import write_atomic

__all__ = ["Stamp", "cache_folder", "read_probes", "scan_file", "write_probes"]

Stamp = tuple[int, int]
"""Size in bytes and time of modification in ns; a file with the same stamp is not read again."""

_SCHEMA = 1


def cache_folder() -> Path:
    """The folder `$XDG_CACHE_HOME/edgetl`, or `~/.cache/edgetl`; it may not exist yet.

    Raises:
        EnvironmentFault: The variable is not set, and the user has no home.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if base.is_absolute():  # the XDG specification says to ignore others
        return base / "edgetl"
    try:
        return Path.home() / ".cache" / "edgetl"
    except RuntimeError:
        raise EnvironmentFault(
            "no home folder for a cache. Set XDG_CACHE_HOME to a folder that can be written"
        ) from None


def scan_file(root: Path) -> Path:
    """Where the scan of a folder is kept."""
    return cache_folder() / f"scan-{hashlib.sha256(os.fsencode(root)).hexdigest()[:16]}.json"


def read_probes(file: Path) -> dict[str, tuple[Stamp, Probe]]:
    """Read an earlier scan by relative path; empty if there is none that can be used.

    A scan by another Pillow is not used, because what decodes may have changed.
    """
    try:
        data = json.loads(file.read_bytes())
        if data["schema_version"] != _SCHEMA or data["pillow"] != PIL.__version__:
            return {}
        return {path: ((int(size), int(time)), Probe(*rest)) for path, (size, time, *rest) in data["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # absent or damaged: the scan is made again, which costs time and nothing else


def write_probes(file: Path, probes: dict[str, tuple[Stamp, Probe]]) -> None:
    """Keep a scan for the next run.

    Raises:
        OSError: The cache cannot be written.
    """
    rows = {path: [*stamp, *astuple(probe)] for path, (stamp, probe) in probes.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, json.dumps({"schema_version": _SCHEMA, "pillow": PIL.__version__, "files": rows}))
