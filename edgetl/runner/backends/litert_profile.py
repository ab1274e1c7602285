"""Times by operator from LiteRT, which its Python interface does not give but its C library does.

Ctypes cannot see a changed signature, so only releases that were tried are called; every call's status is checked.
"""

from __future__ import annotations

import ctypes
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import RunnerError
from ..operators import Operator

__all__ = ["TRIED_RELEASES", "library_of", "operators_of", "read_summary"]

TRIED_RELEASES = ("2.3.",)

_CPU = 1
_WRITE = 1
_FIRST = ctypes.c_size_t(0)
_TYPE_BYTES = 512
"""Room for the library's description of a tensor, which is passed on unread; it has about 70 bytes."""

_INTEGER = re.compile(r"\bQ[SUDC]+8")
_FLOAT = re.compile(r"\bF(32|16)\b")
# One line of the table in run order: the type, start, first and mean time, percent of the total, cumulated, memory,
# calls, and a place in the graph or in a delegate; operators of several delegates that share a place share a line.
_LINE = re.compile(r"^\s*(\S.*?)(?:\s+[\d.]+){3}\s+([\d.]+)%\s+[\d.]+%\s+[\d.]+\s+(\d+)\s+\[\w+\]:\d+$", re.M)
_TOTAL = re.compile(r"^Timings \(microseconds\): count=\d+ curr=(\d+)", re.M)
_NO_DESTRUCTOR = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _payload: None)


def library_of(runtime: Any) -> Path | None:
    """The C library beside an imported runtime, or None where it is missing or of a release that was not tried."""
    library = Path(runtime.__file__).parent / "libLiteRt.so"
    tried = runtime.__version__.startswith(TRIED_RELEASES) and runtime.__name__ == "ai_edge_litert"
    return library if tried and library.is_file() else None


def operators_of(
    library: Path, model: Path, feeds: list[NDArray[np.uint8]], *, threads: int, warmup_runs: int, runs: int
) -> list[Operator]:
    """Run a model through the C library, and read the times that its profiler kept.

    Nothing that is made here is released again: the runner's process ends with this command.

    Raises:
        RunnerError: A call failed.
    """
    calls = _Calls(library)
    environment = calls.make("CreateEnvironment", 0, None)
    opened = calls.make("CreateModelFromFile", environment, str(model).encode())
    compiled = calls.make("CreateCompiledModel", environment, opened, _options(calls, threads))
    profiler = calls.make("CompiledModelGetProfiler", compiled)
    inputs, outputs = (_buffer(calls, environment, opened, compiled, side) for side in ("Input", "Output"))
    for turn in range(warmup_runs + runs):
        _fill(calls, inputs, feeds[turn % len(feeds)])
        if turn == warmup_runs:
            calls.do("StartProfiler", profiler)
        one = ctypes.c_size_t(1)
        calls.do("RunCompiledModel", compiled, _FIRST, one, _array(inputs), one, _array(outputs))
    calls.do("StopProfiler", profiler)
    return read_summary(calls.text("GetProfileSummary", profiler, compiled), runs)


def read_summary(summary: str, runs: int) -> list[Operator]:
    """Read the operators from the profiler's own report, in which times are shares of the total of all runs.

    Raises:
        RunnerError: It is no report that this can read.
    """
    in_run_order = summary.partition("Top by Computation Time")[0]
    lines, total = _LINE.findall(in_run_order), _TOTAL.search(summary)
    if not lines or total is None:
        raise RunnerError("LiteRT's profiler wrote a report that cannot be read. Use a release that was tried")
    total_s = int(total[1]) * 1e-6
    return [
        Operator(
            "", kind.removeprefix("Delegate/"), _arithmetic(kind), float(percent) / 100 * total_s, int(calls) // runs
        )
        for kind, percent, calls in lines
    ]


def _arithmetic(kind: str) -> str | None:
    """XNNPACK names the types of some operators: `Convolution (NHWC, QC8) IGEMM`."""
    if _INTEGER.search(kind):
        return "integer"
    return "float" if _FLOAT.search(kind) else None


class _Calls:
    """The functions of the library; each returns a status."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))

    def do(self, name: str, *arguments: Any) -> None:
        """Call one; raises unless it says that all is well."""
        status = getattr(self._library, f"LiteRt{name}")(*arguments)
        if status:
            raise RunnerError(f"LiteRt{name} failed with status {status}")

    def make(self, name: str, *arguments: Any) -> ctypes.c_void_p:
        """Call one that gives a handle through its last argument."""
        handle = ctypes.c_void_p()
        self.do(name, *arguments, ctypes.byref(handle))
        return handle

    def text(self, name: str, *arguments: Any) -> str:
        """Call one that gives a text through its last argument."""
        found = ctypes.c_char_p()
        self.do(name, *arguments, ctypes.byref(found))
        return (found.value or b"").decode("utf-8", "replace")


def _options(calls: _Calls, threads: int) -> ctypes.c_void_p:
    options = calls.make("CreateOptions")
    calls.do("SetOptionsHardwareAccelerators", options, _CPU)
    texts = {b"runtime_options_string": "enable_profiling = true\n", b"xnnpack": f"num_threads = {threads}\n"}
    for identifier, text in texts.items():
        payload = ctypes.create_string_buffer(text.encode())
        address = ctypes.cast(payload, ctypes.c_void_p)
        one = calls.make("CreateOpaqueOptions", identifier, address, _NO_DESTRUCTOR)
        calls.do("AddOpaqueOptions", options, one)
        _KEPT.append(payload)
    return options


_KEPT: list[Any] = []
"""Texts that the library points to as long as it lives."""


def _buffer(
    calls: _Calls, environment: ctypes.c_void_p, model: ctypes.c_void_p, compiled: ctypes.c_void_p, side: str
) -> ctypes.c_void_p:
    """Memory for the only input or output."""
    graph = calls.make("GetModelSubgraph", model, _FIRST)
    tensor_type = ctypes.create_string_buffer(_TYPE_BYTES)
    calls.do("GetRankedTensorType", calls.make(f"GetSubgraph{side}", graph, _FIRST), tensor_type)
    needed = calls.make(f"GetCompiledModel{side}BufferRequirements", compiled, _FIRST, _FIRST)
    return calls.make("CreateManagedTensorBufferFromRequirements", environment, tensor_type, needed)


def _fill(calls: _Calls, buffer: ctypes.c_void_p, images: NDArray[np.uint8]) -> None:
    address = ctypes.c_void_p()
    calls.do("LockTensorBuffer", buffer, ctypes.byref(address), _WRITE)
    ctypes.memmove(address, images.ctypes.data, images.nbytes)
    calls.do("UnlockTensorBuffer", buffer)


def _array(handle: ctypes.c_void_p) -> Any:
    return (ctypes.c_void_p * 1)(handle.value)
