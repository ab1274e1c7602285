"""One row per artifact: what the proof and the benchmark say about the same file."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgetl.report.sources import Sources
from edgetl.runs.artifact import EXACT
from edgetl.runs.verdict import Verdict

__all__ = ["FORMAT_NAMES", "Row", "artifact_rows", "short_names"]

FORMAT_NAMES = {"onnx": "ONNX", "tflite": "TFLite", "openvino": "OpenVINO"}


@dataclass(frozen=True)
class Row:
    """An artifact, with what verify.json and bench.json say of it."""

    file: str
    format: str
    precision: str
    verdict: Verdict | None
    """None if no proof was tried."""

    proof: dict[str, Any] | None
    """What the proof measured; None if the file was not run."""

    bench: dict[str, Any] | None

    @property
    def is_exact(self) -> bool:
        """Whether it computes as the trained network does."""
        return self.precision == EXACT

    @property
    def failed(self) -> bool:
        """Whether a proof was tried and not passed."""
        return self.verdict is not None and not self.verdict.passed

    @property
    def differs(self) -> bool:
        """Whether the proof has shown that it differs."""
        return self.verdict is not None and self.verdict.status == "FAIL"

    @property
    def runtime(self) -> dict[str, Any] | None:
        """Name, version and provider of what ran the file; the benchmark's, since its numbers depend on it."""
        entry: dict[str, Any] = self.bench or self.proof or {}
        runtime: dict[str, Any] | None = entry.get("runtime")
        return runtime


def artifact_rows(sources: Sources) -> list[Row]:
    """Join the two files by the artifact's name, in the order of the proof."""
    proofs = {entry["file"]: entry for entry in (sources.verify or {}).get("artifacts", [])}
    benches = {entry["file"]: entry for entry in (sources.bench or {}).get("artifacts", [])}
    rows = []
    for file in {**proofs, **benches}:
        proof, bench = proofs.get(file), benches.get(file)
        known = proof or bench or {}
        verdict = Verdict(proof["verdict"]["status"], tuple(proof["verdict"]["reasons"])) if proof else None
        measured = proof if proof and "top1" in proof else None
        rows.append(Row(file, known["format"], known["precision"], verdict, measured, bench))
    return rows


def short_names(rows: Sequence[Row]) -> dict[str, str]:
    """By file, a short name of the artifact, such as `ONNX w8a8`; the file name where two artifacts would share it."""
    names = {row.file: f"{FORMAT_NAMES[row.format]} {row.precision}" for row in rows}
    count = Counter(names.values())
    return {file: name if count[name] == 1 else file for file, name in names.items()}
