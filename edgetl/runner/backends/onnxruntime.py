"""ONNX Runtime: runs `.onnx` files on CPU or CUDA."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..contract import METADATA_KEY
from ..operators import Operator, Profile, computes
from .base import Backend, Session, UnsupportedDevice

__all__ = ["OnnxRuntimeBackend"]

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_ERRORS_ONLY = 3
_KERNEL = "_kernel_time"


class OnnxRuntimeBackend(Backend):
    """An `.onnx` file in an ONNX Runtime session."""

    module = "onnxruntime"
    extra = "onnx"
    package = "onnxruntime"
    suffixes = (".onnx",)

    def __init__(self, path: Path, session: Session) -> None:
        super().__init__(path, session)
        ort = self.runtime()
        wanted = _PROVIDERS.get(session.device)
        if wanted not in ort.get_available_providers():
            raise UnsupportedDevice(f"this onnxruntime does not run on '{session.device}'")
        self._wanted = wanted
        with self._loading():
            self._session = self._open(self._options())
        # The session falls back to the CPU without an error; a benchmark must not.
        if self.provider() != wanted:
            raise UnsupportedDevice(f"asked for {wanted}, onnxruntime chose {self.provider()}")
        inputs = self._session.get_inputs()
        self._accept([(_dtype(each.type), _shape(each.shape)) for each in inputs], len(self._session.get_outputs()))
        self._input = inputs[0].name

    def prepare(self, images: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
        return {self._input: np.ascontiguousarray(images)}

    def infer(self, feed: Any) -> Any:
        return self._session.run(None, feed)

    def finish(self, raw: Any) -> NDArray[np.float32]:
        probabilities_NK: NDArray[np.float32] = np.asarray(raw[0], dtype=np.float32)
        return probabilities_NK

    def profile(self, feeds: list[Any], *, warmup_runs: int, runs: int) -> Profile:
        with tempfile.TemporaryDirectory(prefix="edgetl-") as folder:
            options = self._options()
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(folder, "profile"))
            session = self._open(options)
            for turn in range(warmup_runs + runs):
                session.run(None, feeds[turn % len(feeds)])
            events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        return Profile(_operators(events, warmup_runs), timed=True, source="ONNX Runtime's profiler")

    def provider(self) -> str:
        name: str = self._session.get_providers()[0]
        return name

    def contract_json(self) -> str | None:
        text: str | None = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        return text

    def _options(self) -> Any:
        options = self.runtime().SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        return options

    def _open(self, options: Any) -> Any:
        return self.runtime().InferenceSession(str(self._path), options, providers=[self._wanted])


def _operators(events: list[dict[str, Any]], warmup_runs: int) -> list[Operator]:
    """Add up the kernels' times, in microseconds, of the runs after the warm-up."""
    start = sorted(event["ts"] for event in events if event["name"] == "model_run")[warmup_runs]
    found: dict[str, Operator] = {}
    for event in events:
        if event["cat"] != "Node" or not event["name"].endswith(_KERNEL) or event["ts"] < start:
            continue
        name, facts = event["name"].removesuffix(_KERNEL), event["args"]
        inputs = [_dtype(dtype) for entry in facts["input_type_shape"] for dtype in entry]
        before = found[name].seconds or 0.0 if name in found else 0.0
        arithmetic = computes(inputs[0]) if inputs else None
        found[name] = Operator(name, facts["op_name"], arithmetic, before + event["dur"] * 1e-6)
    return list(found.values())


def _dtype(tensor_type: str) -> str:
    """`tensor(uint8)` is NumPy's `uint8`, `tensor(float)` its `float32`."""
    name = tensor_type.removeprefix("tensor(").removesuffix(")")
    return "float32" if name == "float" else name


def _shape(sizes: list[int | str | None]) -> tuple[int | None, ...]:
    """A free size has a name or none."""
    return tuple(size if isinstance(size, int) else None for size in sizes)
