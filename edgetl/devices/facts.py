"""What machine this is."""

import os
import platform
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import psutil

__all__ = ["free_space", "machine"]

_INTERESTING_FLAGS = (
    "avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8",
    "asimd", "asimddp", "i8mm", "asimdhp", "bf16",
)  # fmt: skip


@cache
def machine() -> dict[str, Any]:
    """CPU, cores, instruction sets, memory and system of this machine."""
    fields = _cpuinfo()
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    return {
        "cpu": fields.get("model name") or fields.get("Model") or platform.processor() or "unknown",
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "instruction_sets": [flag for flag in _INTERESTING_FLAGS if flag in flags],
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(terse=True),
    }


def free_space() -> dict[str, int]:
    """What is free now: main memory, and the disk of the working folder."""
    return {
        "free_memory_bytes": psutil.virtual_memory().available,
        "free_disk_bytes": shutil.disk_usage(Path()).free,
    }


def _cpuinfo() -> dict[str, str]:
    file = Path("/proc/cpuinfo")
    if not file.is_file():
        return {}
    pairs = (line.partition(":") for line in file.read_text(encoding="utf-8", errors="replace").splitlines())
    fields: dict[str, str] = {}
    for key, _, value in pairs:
        fields.setdefault(key.strip(), value.strip())
    return fields
