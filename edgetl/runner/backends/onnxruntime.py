"""ONNX Runtime: runs `.onnx` files on CPU or CUDA."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetl.runner.backends.base import Backend, Session, UnsupportedDevice
from edgetl.runner.contract import METADATA_KEY

__all__ = ["OnnxRuntimeBackend"]

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_ERRORS_ONLY = 3


class OnnxRuntimeBackend(Backend):
    """An `.onnx` file in an ONNX Runtime session."""

    module = "onnxruntime"
    extra = "onnx"
    suffixes = (".onnx",)

    def __init__(self, path: Path, session: Session) -> None:
        super().__init__(path, session)
        ort = self.runtime()
        wanted = _PROVIDERS.get(session.device)
        if wanted not in ort.get_available_providers():
            raise UnsupportedDevice(f"this onnxruntime does not run on '{session.device}'")
        options = ort.SessionOptions()
        options.intra_op_num_threads = session.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        with self._loading():
            self._session = ort.InferenceSession(str(path), options, providers=[wanted])
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

    def provider(self) -> str:
        name: str = self._session.get_providers()[0]
        return name

    def contract_json(self) -> str | None:
        text: str | None = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        return text


def _dtype(tensor_type: str) -> str:
    """`tensor(uint8)` is NumPy's `uint8`, `tensor(float)` its `float32`."""
    name = tensor_type.removeprefix("tensor(").removesuffix(")")
    return "float32" if name == "float" else name


def _shape(sizes: list[int | str | None]) -> tuple[int | None, ...]:
    """A free size has a name or none."""
    return tuple(size if isinstance(size, int) else None for size in sizes)
