"""A run folder has one writer at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgetl.errors import RunFolderError, is_storage_fault

__all__ = ["LOCK_FILE", "hold"]

LOCK_FILE = ".lock"

_held: set[int] = set()
"""Descriptors that hold a lock."""


def _let_go() -> None:
    """Release the locks in a forked worker: workers outlive a killed run by seconds and would keep the next run out."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Be the only writer of a run folder while inside; remove the folder at the end if it is new and still empty.

    The operating system releases the lock of a process that dies, so a killed run locks nobody out.

    Raises:
        RunFolderError: Another process is writing there.
        OSError: The folder cannot be made or written.
    """
    created = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = None
    try:
        descriptor = _taken(folder)
        _held.add(descriptor)
        yield
    finally:
        if descriptor is not None:
            (folder / LOCK_FILE).unlink(missing_ok=True)
            _held.discard(descriptor)
            os.close(descriptor)
        for place in created:
            if place.is_dir() and not any(place.iterdir()):
                place.rmdir()


def _taken(folder: Path) -> int:
    """A descriptor that holds the lock."""
    file = folder / LOCK_FILE
    while True:
        descriptor = _opened(folder, file)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise RunFolderError(
                f"{folder}: another edgetl (process {owner or 'unknown'}) is writing here. Wait for it, or choose"
                " another place with --out"
            ) from None
        except OSError as cause:
            os.close(descriptor)
            raise RunFolderError(
                f"{folder}: this file system cannot lock files ({cause.strerror}). Choose a place on another file"
                " system with --out"
            ) from cause
        if _is_still_there(file, descriptor):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            return descriptor
        os.close(descriptor)  # its owner removed it between our opening and our locking


def _opened(folder: Path, file: Path) -> int:
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except OSError as cause:
        if is_storage_fault(cause):
            raise
        raise RunFolderError(
            f"{folder}: cannot be locked ({cause.strerror}: {file.name}). Remove that entry"
        ) from cause


def _is_still_there(file: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(file.stat(follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False
