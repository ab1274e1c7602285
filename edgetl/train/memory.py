"""Keep the memory that one step frees for the next step."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["kept_memory"]

# Parameters of mallopt(3) and their defaults.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_DEFAULTS = {_MMAP_MAX: 65_536, _TRIM_THRESHOLD: 128 << 10}
_KEPT = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1}


@contextmanager
def kept_memory() -> Iterator[None]:
    """Do not hand freed memory back to the system while inside; it is handed back at the end.

    Every tensor above 32 MB, and most of the others, else come as fresh pages from the system in each step, which
    zeroes them first: with glibc's defaults that is up to a quarter of a step on a CPU (benchmarks/steps.py). Other C
    libraries are left alone.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        yield
        return
    _set(library, _KEPT)
    try:
        yield
    finally:
        _set(library, _DEFAULTS)
        library.malloc_trim(0)


def _set(library: ctypes.CDLL, values: dict[int, int]) -> None:
    for parameter, value in values.items():
        library.mallopt(parameter, value)
