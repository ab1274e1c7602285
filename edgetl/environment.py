"""What machine this is and what is installed on it."""

import os
import platform
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

import edgetl
from edgetl.errors import MissingExtra

__all__ = ["EXTRAS", "installed_version", "machine", "require", "versions"]

EXTRAS: dict[str, tuple[str, ...]] = {
    "train": ("torch", "torchvision", "timm", "accelerate", "safetensors", "scikit-learn", "torch-pruning"),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("openvino",),
    "tflite": ("litert-torch", "ai-edge-litert", "flatbuffers", "torchao"),
    "report": ("jinja2", "matplotlib"),
}
"""Distributions that each extra brings."""

_INTERESTING_FLAGS = (
    "avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8",
    "asimd", "asimddp", "i8mm", "asimdhp", "bf16",
)  # fmt: skip


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def versions() -> dict[str, str]:
    """Versions of everything that can change a result."""
    found = {name: installed_version(name) for names in EXTRAS.values() for name in (*names, "numpy", "pillow")}
    return {
        "edgetl": edgetl.__version__,
        "python": platform.python_version(),
        **{k: v for k, v in sorted(found.items()) if v},
    }


def require(extra: str) -> None:
    """Make sure that an extra is complete before work starts.

    Raises:
        MissingExtra: One of its distributions is not installed.
    """
    for distribution in EXTRAS[extra]:
        if installed_version(distribution) is None:
            raise MissingExtra(distribution, extra)


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


def _cpuinfo() -> dict[str, str]:
    file = Path("/proc/cpuinfo")
    if not file.is_file():
        return {}
    pairs = (line.partition(":") for line in file.read_text(encoding="utf-8", errors="replace").splitlines())
    fields: dict[str, str] = {}
    for key, _, value in pairs:
        fields.setdefault(key.strip(), value.strip())
    return fields
