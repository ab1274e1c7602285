"""What is installed here: the libraries of each extra, and their versions."""

import platform
from collections.abc import Iterable
from importlib import metadata

from edgetl.errors import MissingExtra
from edgetl.runner import __version__

__all__ = ["EXTRAS", "installed_version", "missing", "require", "versions"]

EXTRAS: dict[str, tuple[str, ...]] = {
    "train": (
        *("torch", "torchvision", "timm", "accelerate", "safetensors", "scikit-learn", "scipy", "simplejpeg"),
        "torch-pruning",
    ),
    "lora": ("peft",),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("openvino",),
    "tflite": ("litert-torch", "ai-edge-litert", "flatbuffers", "torchao"),
    "report": ("jinja2", "matplotlib"),
}
"""Distributions that each extra installs."""


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def versions(extras: Iterable[str] = EXTRAS) -> dict[str, str]:
    """Versions of Python, edgetl, NumPy, Pillow and of the libraries of some extras, by distribution."""
    names = sorted({"numpy", "pillow", *(name for extra in extras for name in EXTRAS[extra])})
    found = {name: version for name in names if (version := installed_version(name))}
    return {"edgetl": __version__, "python": platform.python_version(), **found}


def missing(extra: str) -> list[str]:
    """Distributions of an extra that are not installed."""
    return [distribution for distribution in EXTRAS[extra] if installed_version(distribution) is None]


def require(extra: str) -> None:
    """Make sure that an extra is complete before work starts.

    Raises:
        MissingExtra: One of its distributions is not installed.
    """
    for distribution in missing(extra):
        raise MissingExtra(distribution, extra)
