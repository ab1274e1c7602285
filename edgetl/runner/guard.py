"""What keeps a process that another one started from outliving it, from hanging, and from taking all memory.

Nothing here happens to a program that uses the runner as a library: only the command line takes limits, from the
environment, and only if the program that started it has set them.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["CALL_SECONDS", "MEMORY_BYTES", "PARENT", "die_with", "take_limits", "within"]

PARENT, MEMORY_BYTES, CALL_SECONDS = "EDGETL_PARENT", "EDGETL_MEMORY_BYTES", "EDGETL_CALL_SECONDS"
"""Names in the environment: the process to die with, what may be allocated, and how long an inference may take."""

_PR_SET_PDEATHSIG = 1  # prctl(2)

_call_s = 0.0


def take_limits() -> None:
    """Take the limits that the environment states."""
    global _call_s
    if parent := os.environ.get(PARENT):
        die_with(int(parent))
    if most := os.environ.get(MEMORY_BYTES):
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (int(most), hard))
    _call_s = float(os.environ.get(CALL_SECONDS, "0"))


def die_with(parent: int) -> None:
    """Have the system kill this process when its parent is gone, however it went; Linux alone can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it was gone before
            os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def within(calls: int) -> Iterator[None]:
    """End this process by SIGALRM if some inferences take longer than they may.

    A timer of the system ends native code, too, which no exception of Python could interrupt.
    """
    if not _call_s:
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, _call_s * calls)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
