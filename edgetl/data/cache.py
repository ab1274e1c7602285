"""The user's cache folder, and the results of earlier scans in it."""

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

Stamp = tuple[int, int, int, int]
"""Size in bytes, times of modification and change in ns, and inode; a file with an equal stamp is not read again."""

_SCHEMA = 2


def cache_folder() -> Path:
    """The folder `$XDG_CACHE_HOME/edgetl`, or `~/.cache/edgetl`; it may not exist yet.

    Raises:
        EnvironmentFault: The variable is not set, and the user has no home.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if base.is_absolute():  # the XDG specification says to ignore others
        return base / "edgetl"
    try:
        home = Path.home() if os.environ.get("HOME", "~") else Path()
    except RuntimeError:
        home = Path()
    if not home.is_absolute():
        raise EnvironmentFault("no home folder for a cache. Set XDG_CACHE_HOME to a folder that can be written")
    return home / ".cache" / "edgetl"


def scan_file(root: Path) -> Path:
    """The file that keeps the scan of a folder."""
    return cache_folder() / f"scan-{hashlib.sha256(os.fsencode(root)).hexdigest()[:16]}.json"


def read_probes(file: Path) -> dict[str, tuple[Stamp, Probe]]:
    """Read an earlier scan by relative path; empty if there is no usable one.

    A scan by another version of Pillow is not used, because that version may decode other files.
    """
    try:
        data = json.loads(file.read_bytes())
        if data["schema_version"] != _SCHEMA or data["pillow"] != PIL.__version__:
            return {}
        return {path: (_stamp(row[:4]), Probe(*row[4:])) for path, row in data["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # absent or damaged: the files are scanned again


def _stamp(numbers: list[int]) -> Stamp:
    size, modified, changed, inode = map(int, numbers)
    return size, modified, changed, inode


def write_probes(file: Path, probes: dict[str, tuple[Stamp, Probe]]) -> None:
    """Save a scan for the next run.

    Raises:
        OSError: The cache cannot be written.
    """
    rows = {path: [*stamp, *astuple(probe)] for path, (stamp, probe) in probes.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, json.dumps({"schema_version": _SCHEMA, "pillow": PIL.__version__, "files": rows}))
