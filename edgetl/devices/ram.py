"""How much memory this process may still take: what the system, its control groups and its own limit leave."""

import resource
from collections.abc import Iterator
from pathlib import Path

import psutil

__all__ = ["available_bytes"]

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


def available_bytes() -> int:
    """Memory that can be taken before the system swaps, kills this process, or refuses."""
    return max(0, min([psutil.virtual_memory().available, *_left_by_groups(), *_left_by_limit()]))


def _left_by_limit() -> Iterator[int]:
    """What `ulimit -v` leaves."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        yield limit - psutil.Process().memory_info().vms


def _left_by_groups() -> Iterator[int]:
    """What the control groups of this process leave, as containers and batch systems set them (versions 1 and 2)."""
    for folder in _folders():
        for most, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            limit, usage = _number(folder / most), _number(folder / used)
            if limit is not None and usage is not None:
                # The cache of files counts as used, but makes room.
                yield limit - usage + _reclaimable(folder / "memory.stat")


def _folders() -> Iterator[Path]:
    """This process's groups and those above them."""
    lines = _OWN_GROUPS.read_text().splitlines() if _OWN_GROUPS.is_file() else []
    for line in lines:
        _, controllers, own = line.split(":", 2)
        if controllers in ("", "memory"):
            base = _GROUPS / controllers
            place = base / own.lstrip("/")
            yield from (each for each in (place, *place.parents) if each.is_relative_to(base))


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # there is none, or it says 'max'
        return None


def _reclaimable(file: Path) -> int:
    try:
        stated = dict(line.split() for line in file.read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(stated.get("total_inactive_file", stated.get("inactive_file", 0)))
