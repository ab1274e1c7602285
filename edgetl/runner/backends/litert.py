"""LiteRT, formerly TensorFlow Lite: runs `.tflite` files on the CPU."""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetl.runner.backends.base import Backend, Session
from edgetl.runner.contract import METADATA_KEY
from edgetl.runner.errors import MissingRuntime
from edgetl.runner.tflite_metadata import read_metadata

__all__ = ["LiteRtBackend"]


class LiteRtBackend(Backend):
    """A `.tflite` file in an interpreter; its shapes are fixed, the batch too."""

    module = "ai_edge_litert"
    extra = "tflite"
    suffixes = (".tflite",)

    def __init__(self, path: Path, session: Session) -> None:
        super().__init__(path, session)
        self._only_cpu(session)
        # Before the runtime: it stops the process on some damaged files, and this reader checks every offset.
        self._contract = read_metadata(path, METADATA_KEY)
        interpreter_class = self._interpreter_class()
        with self._loading():
            self._interpreter = interpreter_class(str(path), num_threads=session.threads)
            self._interpreter.allocate_tensors()
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        shapes = [tuple(int(size) for size in each["shape"]) for each in inputs]
        self._accept([(each["dtype"].__name__, s) for each, s in zip(inputs, shapes, strict=True)], len(outputs))
        self._input_index, self._output = inputs[0]["index"], outputs[0]

    @classmethod
    def runtime(cls) -> Any:
        """Import LiteRT, or its predecessor tflite-runtime where a device has that."""
        try:
            return super().runtime()
        except MissingRuntime as missing:
            try:
                import tflite_runtime
            except ModuleNotFoundError:
                raise missing from None
            return tflite_runtime

    def prepare(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.ascontiguousarray(images)

    def infer(self, feed: Any) -> Any:
        self._interpreter.set_tensor(self._input_index, feed)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output["index"])

    def finish(self, raw: Any) -> NDArray[np.float32]:
        scale, zero_point = self._output["quantization"]
        if np.issubdtype(raw.dtype, np.integer) and scale:
            raw = (raw.astype(np.float32) - zero_point) * scale
        probabilities_NK: NDArray[np.float32] = np.asarray(raw, dtype=np.float32)
        return probabilities_NK

    def provider(self) -> str:
        # No public call tells whether a delegate took part of the graph; both runtimes have this one.
        operators = {each["op_name"] for each in self._interpreter._get_ops_details()}
        return "XNNPACK" if "DELEGATE" in operators else "builtin"

    def contract_json(self) -> str | None:
        return self._contract

    @classmethod
    def _interpreter_class(cls) -> Any:
        return import_module(f"{cls.runtime().__name__}.interpreter").Interpreter
