"""What a run's benchmark says about the files that are still there."""

from typing import Any

from pydantic import Field, model_validator

from edgetl.runs.folder import RunFolder
from edgetl.runs.reading import read_report
from edgetl.runs.reports import Named, Number, Part, Runtime

__all__ = ["BENCH_FILE", "BENCH_SCHEMA", "read_timings"]

BENCH_SCHEMA = 1
BENCH_FILE = "bench.json"


class _Latency(Part):
    p50_ms: float = Field(gt=0, allow_inf_nan=False)
    p50_low_ms: Number
    p50_high_ms: Number
    p90_ms: Number
    p99_ms: Number

    @model_validator(mode="after")
    def _is_in_order(self) -> "_Latency":
        if not self.p50_low_ms <= self.p50_ms <= self.p50_high_ms:
            raise ValueError("its median is not inside its interval")
        return self


class _Artifact(Named):
    runtime: Runtime
    threads: int
    size_bytes: int = Field(gt=0)
    peak_rss_bytes: int
    inference: _Latency
    with_preprocessing: _Latency


class Machine(Part):
    """The machine that was measured."""

    cpu: str
    architecture: str
    cores: int
    instruction_sets: list[str]


class _Profile(Part):
    architecture: str


class _Bench(Part):
    measured_on: str
    machine: Machine
    target: str
    target_profile: _Profile
    artifacts: list[_Artifact]


def read_timings(folder: RunFolder) -> dict[str, Any] | None:
    """The benchmark's report, without files that have changed since they were timed; None if nothing was timed.

    Raises:
        DamagedFile: The report itself was changed.
    """
    report = read_report(folder, BENCH_FILE, BENCH_SCHEMA, _Bench)
    if report is None:
        return None
    whole = {artifact.file for artifact in folder.artifacts() if not folder.damage_of(artifact)}
    return {**report, "artifacts": [each for each in report["artifacts"] if each["file"] in whole]}
