"""LiteRT, formerly TensorFlow Lite: runs `.tflite` files on the CPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..contract import METADATA_KEY
from ..errors import MissingRuntime, RunnerError
from ..operators import Operator, Profile, computes
from ..tflite_metadata import read_metadata
from .base import Backend, Session
from .litert_profile import TRIED_RELEASES, library_of, operators_of

__all__ = ["LiteRtBackend"]


class LiteRtBackend(Backend):
    """A `.tflite` file in an interpreter; its shapes are fixed, the batch too."""

    module = "ai_edge_litert"
    extra = "tflite"
    package = "ai-edge-litert (or tflite-runtime)"
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
        self._accept([(each["dtype"].__name__, tuple(map(int, each["shape"]))) for each in inputs], len(outputs))
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
            _check_numpy(tflite_runtime.__version__)
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

    def profile(self, feeds: list[Any], *, warmup_runs: int, runs: int) -> Profile:
        runtime = self.runtime()
        tried = ", ".join(f"{release}x" for release in TRIED_RELEASES)
        why = f"{runtime.__name__.replace('_', '-')} {runtime.__version__} tells no times (ai-edge-litert {tried} does)"
        if library := library_of(runtime):
            try:
                operators = self._timed(library, feeds, warmup_runs, runs)
                return Profile(operators, timed=True, source="LiteRT's profiler, through its compiled-model interface")
            except RunnerError as cause:
                why = str(cause)
        return Profile(self._graph(), timed=False, source=f"{why}; counted from the graph")

    def _timed(self, library: Path, feeds: list[Any], warmup_runs: int, runs: int) -> list[Operator]:
        """Operators that XNNPACK did not take have the names of the graph, which knows what they compute in."""
        limits = {"threads": self._threads, "warmup_runs": warmup_runs, "runs": runs}
        found = operators_of(library, self._path, feeds, **limits)
        known = {each.type: each.computes for each in self._graph()}
        return [replace(each, computes=each.computes or known.get(each.type)) for each in found]

    def _graph(self) -> list[Operator]:
        """The file's operators without times; what stands for a delegate is none of them."""
        dtypes = {each["index"]: each["dtype"].__name__ for each in self._interpreter.get_tensor_details()}
        operators = [each for each in self._interpreter._get_ops_details() if each["op_name"] != "DELEGATE"]
        return [
            Operator(str(each["index"]), each["op_name"], computes(dtypes.get(int(each["inputs"][0]), "")), None)
            for each in operators
        ]

    def provider(self) -> str:
        # No public call tells whether a delegate took part of the graph; both runtimes have this one.
        operators = {each["op_name"] for each in self._interpreter._get_ops_details()}
        return "XNNPACK" if "DELEGATE" in operators else "builtin"

    def contract_json(self) -> str | None:
        return self._contract

    @classmethod
    def _interpreter_class(cls) -> Any:
        return cls._import(f"{cls.runtime().__name__}.interpreter").Interpreter


def _check_numpy(tflite_runtime: str) -> None:
    """Refuse in one line what its last release, of 2023, answers with a page of warnings and a SystemError."""
    if int(np.__version__.partition(".")[0]) >= 2:
        problem = f"tflite-runtime {tflite_runtime} does not work with NumPy {np.__version__}"
        raise MissingRuntime(f"{problem}. Run: pip install 'numpy<2'")
