"""Hash and decode all files of a listing; unchanged files are read once and never again."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edgetl.data.cache import Stamp, read_probes, scan_file, write_probes
from edgetl.data.folder import ImageFile, Listing
from edgetl.data.memory import DecodingMemory
from edgetl.data.probe import Probe, probe_file
from edgetl.devices.facts import machine
from edgetl.runs.reporter import Reporter

__all__ = ["stamp_of", "survey"]

_MAX_THREADS = 8
_UNSTABLE: Stamp = (-1, -1, -1, -1)
"""The stamp of no file, so that the next run reads it again: a file can become readable without being changed."""


def survey(listing: Listing, reporter: Reporter) -> dict[str, Probe]:
    """Hash and decode every file, by relative path; files that the user's cache knows unchanged are not read.

    If the cache cannot be written, the reporter says so, and the next run reads the files again.
    """
    cache = scan_file(listing.root)
    known = read_probes(cache)
    stamps = {file.path: stamp_of(file) for file in listing.files}
    entries = {path: entry for path, entry in known.items() if stamps.get(path) == entry[0]}
    try:
        _probe_missing(listing, entries, reporter)
    finally:
        # Also when interrupted, so that no file is read twice.
        if entries != known:
            _keep(cache, entries, reporter)
    return {path: probe for path, (_, probe) in entries.items()}


def _probe_missing(listing: Listing, entries: dict[str, tuple[Stamp, Probe]], reporter: Reporter) -> None:
    """Add the missing files to `entries`."""
    missing = [file for file in listing.files if file.path not in entries]
    memory = DecodingMemory()
    pool = ThreadPoolExecutor(min(_MAX_THREADS, machine()["cores"]))
    try:
        with reporter.track("Check images", len(listing.files), even=True) as advance:
            advance(len(entries), "")
            results = pool.map(lambda file: _look(listing.root, file, memory), missing)
            for file, entry in zip(missing, results, strict=True):
                entries[file.path] = entry
                advance(1, "")
    finally:
        pool.shutdown(cancel_futures=True)


def _look(root: Path, file: ImageFile, memory: DecodingMemory) -> tuple[Stamp, Probe]:
    if file.fault:
        return stamp_of(file), Probe(reason=file.fault)
    try:
        return stamp_of(file), probe_file(root / file.path, memory)
    except OSError as cause:
        return _UNSTABLE, Probe(reason=cause.strerror or type(cause).__name__)


def stamp_of(file: ImageFile) -> Stamp:
    """What tells whether a file is the one that was read."""
    return file.size_bytes, file.modified_ns, file.changed_ns, file.inode


def _keep(cache: Path, entries: dict[str, tuple[Stamp, Probe]], reporter: Reporter) -> None:
    try:
        write_probes(cache, entries)
    except OSError as cause:
        reporter.say(f"The scan is not saved: {cache.parent} cannot be written ({cause.strerror}).")
