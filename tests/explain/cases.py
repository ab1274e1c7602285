"""Made-up measurements for the reasons, which are pure functions of them."""

from typing import Any

from edgetl.explain.case import Case, Machine, Measured
from edgetl.runner.operators import Operator

RUNS = 10
VNNI = Machine("Some CPU", "x86_64", ("avx2", "avx512_vnni"))
PLAIN = Machine("Old CPU", "x86_64", ("avx2",))


def operator(kind: str, computes: str | None, took_ms: float | None, name: str = "", calls: int = 1) -> Operator:
    """One that takes so many milliseconds of an inference."""
    return Operator(name, kind, computes, None if took_ms is None else took_ms * RUNS / 1e3, calls)


def case(
    before: list[Operator], after: list[Operator], *, before_ms: float = 2.0, after_ms: float = 1.0, **more: Any
) -> Case:
    """A float and an integer artifact; one thread unless said otherwise."""
    files = [("model.fp32.onnx", "fp32", before_ms, before), ("model.w8a8.onnx", "w8a8", after_ms, after)]
    made = [
        Measured(file, precision, p50, tuple(each), all(o.seconds is not None for o in each), RUNS)
        for file, precision, p50, each in files
    ]
    return Case(made[0], made[1], **{"threads": 1, "one_thread_ms": None, "physical_cores": 4, **more})
