"""The runtimes that can run a model file, by name and by the file's ending."""

from importlib.metadata import entry_points
from pathlib import Path

from edgetl.runner.backends.base import Backend, Session
from edgetl.runner.backends.litert import LiteRtBackend
from edgetl.runner.backends.onnxruntime import OnnxRuntimeBackend
from edgetl.runner.backends.openvino import OpenVinoBackend
from edgetl.runner.errors import BrokenModel, RunnerError

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
    plugins = entry_points(group=_GROUP)
    if name not in plugins.names:
        raise RunnerError(f"no backend named '{name}'. Known: {', '.join(sorted({*BUILTIN, *plugins.names}))}")
    backend: type[Backend] = plugins[name].load()
    return backend


def backend_for(path: Path) -> type[Backend]:
    """Find the backend that opens a file, by its ending.

    Raises:
        BrokenModel: None does.
    """
    known = [*BUILTIN, *sorted(entry_points(group=_GROUP).names - BUILTIN.keys())]
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
