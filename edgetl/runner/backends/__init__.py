"""The runtimes that can run a model file, by name and by the file's ending."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from ..errors import BrokenModel, RunnerError
from .base import Backend, Session
from .litert import LiteRtBackend
from .onnxruntime import OnnxRuntimeBackend
from .openvino import OpenVinoBackend

__all__ = ["BUILTIN", "backend_for", "find_backend", "open_model"]

BUILTIN: dict[str, type[Backend]] = {
    "litert": LiteRtBackend,
    "onnxruntime": OnnxRuntimeBackend,
    "openvino": OpenVinoBackend,
}
"""Backends that come with edgetl, by the name that users write."""

_GROUP = "edgetl.backends"


def find_backend(name: str) -> type[Backend]:
    """Find a backend by name: one of ours, or another package's entry point in the group `edgetl.backends`.

    Raises:
        RunnerError: There is none of that name.
    """
    if name in BUILTIN:
        return BUILTIN[name]
    plugins = _plugins()
    if name not in plugins:
        raise RunnerError(f"no backend named '{name}'. Known: {', '.join(sorted({*BUILTIN, *plugins}))}")
    backend: type[Backend] = plugins[name].load()
    return backend


def backend_for(path: Path) -> type[Backend]:
    """Find the backend that opens a file, by its ending.

    Raises:
        BrokenModel: None does.
    """
    known = [*BUILTIN, *sorted(_plugins().keys() - BUILTIN.keys())]
    backends = [find_backend(name) for name in known]
    for backend in backends:
        if path.suffix.lower() in backend.suffixes:
            return backend
    suffixes = ", ".join(sorted({suffix for backend in backends for suffix in backend.suffixes}))
    raise BrokenModel(f"{path}: no backend opens '{path.suffix}' files. Known endings: {suffixes}")


def open_model(path: Path, session: Session) -> Backend:
    """Open a model file in its runtime.

    Raises:
        RunnerError: The file is missing or damaged, or the runtime is missing or would not compute as asked.
    """
    backend = backend_for(path)
    if not path.is_file():
        raise BrokenModel(f"{path}: no such file")
    return backend(path, session)


def _plugins() -> dict[str, EntryPoint]:
    """Backends of other packages by name, not yet imported."""
    if sys.version_info >= (3, 10):
        found = entry_points(group=_GROUP)
    else:  # Python 3.9 hands out all groups at once
        found = entry_points().get(_GROUP, ())
    return {each.name: each for each in found}
