"""OpenVINO: runs `.xml` files, with their weights in `.bin`, on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..contract import METADATA_KEY
from ..operators import Operator, Profile
from .base import Backend, Session, UnsupportedDevice

__all__ = ["OpenVinoBackend"]

_DTYPES = {"u8": "uint8", "f32": "float32"}
_COUNTERS = "OpenVINO's counters, which leave out what takes under a microsecond"
_ARITHMETIC = {"i8": "integer", "u8": "integer", "f32": "float", "f16": "float", "bf16": "float"}
"""By the ending of a kernel's name, such as `brgconv_avx512_I8`."""


class OpenVinoBackend(Backend):
    """An `.xml` file compiled for the CPU, in single precision, once for each number of images that is asked for.

    Compiled for any number, it takes a tenth to a third longer.
    """

    module = "openvino"
    extra = "openvino"
    package = "openvino"
    suffixes = (".xml",)

    def __init__(self, path: Path, session: Session) -> None:
        super().__init__(path, session)
        self._only_cpu(session)
        ov = self.runtime()
        self._core = ov.Core()
        with self._loading():
            self._model = self._core.read_model(path)
        self._accept([(_dtype(each), _shape(each)) for each in self._model.inputs], len(self._model.outputs))
        self._requests: dict[int, Any] = {}
        with self._loading():
            self._request_for(self.batch or 1)
        self._check_promises(ov)

    def prepare(self, images: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        return [np.ascontiguousarray(images)]

    def infer(self, feed: Any) -> Any:
        return self._request_for(len(feed[0])).infer(feed)

    def finish(self, raw: Any) -> NDArray[np.float32]:
        probabilities_NK: NDArray[np.float32] = np.asarray(raw[0], dtype=np.float32)
        return probabilities_NK

    def profile(self, feeds: list[Any], *, warmup_runs: int, runs: int) -> Profile:
        """Operators that took less than a microsecond are left out: the plugin does not tell them from fused ones.

        Its times are means over all runs since the model was compiled, so that the warm-up is in them.
        """
        request = self._compile(self._sized(len(feeds[0][0])), PERF_COUNT=True).create_infer_request()
        for turn in range(warmup_runs + runs):
            request.infer(feeds[turn % len(feeds)])
        executed = [each for each in request.get_profiling_info() if each.status == each.Status.EXECUTED]
        return Profile([_operator(each, runs) for each in executed], timed=True, source=_COUNTERS)

    def provider(self) -> str:
        return ",".join(self._compiled.get_property("EXECUTION_DEVICES"))

    def contract_json(self) -> str | None:
        place = METADATA_KEY.split(".")
        if not self._model.has_rt_info(place):
            return None
        text: str = self._model.get_rt_info(place).astype(str)
        return text

    def _request_for(self, count: int) -> Any:
        if count not in self._requests:
            self._compiled = self._compile(self._sized(count))
            self._requests[count] = self._compiled.create_infer_request()
        return self._requests[count]

    def _sized(self, count: int) -> Any:
        sized = self._model.clone()
        if self.batch is None:
            sized.reshape([count, *list(sized.input().get_partial_shape())[1:]])
        return sized

    def _compile(self, model: Any, **more: Any) -> Any:
        # By itself the plugin computes in bfloat16 where the CPU can, which moves probabilities by several percent.
        exact = {"INFERENCE_NUM_THREADS": self._threads, "INFERENCE_PRECISION_HINT": "f32"}
        return self._core.compile_model(model, "CPU", exact | more)

    def _check_promises(self, ov: Any) -> None:
        precision = self._compiled.get_property("INFERENCE_PRECISION_HINT")
        if precision != ov.Type.f32:
            raise UnsupportedDevice(f"asked for f32, openvino computes in {precision.get_type_name()}")
        if self.provider() != "CPU":
            raise UnsupportedDevice(f"asked for CPU, openvino chose {self.provider()}")


def _operator(told: Any, runs: int) -> Operator:
    arithmetic = _ARITHMETIC.get(told.exec_type.rpartition("_")[2].lower())
    return Operator(told.node_name, told.node_type, arithmetic, told.real_time.total_seconds() * runs)


def _dtype(port: Any) -> str:
    name: str = port.element_type.get_type_name()
    return _DTYPES.get(name, name)


def _shape(port: Any) -> tuple[int | None, ...]:
    if port.partial_shape.rank.is_dynamic:
        return ()
    return tuple(size.get_length() if size.is_static else None for size in port.partial_shape)
