"""One row per artifact: what the proof and the benchmark say about the same file."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgetl.report.sources import Sources

__all__ = ["FORMAT_NAMES", "Row", "artifact_rows", "short_names"]

FORMAT_NAMES = {"onnx": "ONNX", "tflite": "TFLite", "openvino": "OpenVINO"}


@dataclass(frozen=True)
class Row:
    """An artifact; `proof` and `bench` are its entries in verify.json and bench.json, None where there is none."""

    file: str
    format: str
    precision: str
    proof: dict[str, Any] | None
    bench: dict[str, Any] | None

    @property
    def failed(self) -> bool:
        """Whether a proof was tried and did not hold."""
        return self.proof is not None and not self.proof["passed"]

    @property
    def runtime(self) -> dict[str, Any]:
        """Name, version and provider of what ran the file; the benchmark's, since its numbers depend on it."""
        entry: dict[str, Any] = self.bench or self.proof or {}
        runtime: dict[str, Any] = entry["runtime"]
        return runtime


def artifact_rows(sources: Sources) -> list[Row]:
    """Join the two files by the artifact's name, in the order of the proof."""
    proofs = {entry["file"]: entry for entry in (sources.verify or {}).get("artifacts", [])}
    benches = {entry["file"]: entry for entry in (sources.bench or {}).get("artifacts", [])}
    rows = []
    for file in {**proofs, **benches}:
        known = proofs.get(file) or benches[file]
        rows.append(Row(file, known["format"], known["precision"], proofs.get(file), benches.get(file)))
    return rows


def short_names(rows: Sequence[Row]) -> dict[str, str]:
    """By file, what people call an artifact, such as `ONNX w8a8`; its file's name where that would name two."""
    names = {row.file: f"{FORMAT_NAMES[row.format]} {row.precision}" for row in rows}
    count = Counter(names.values())
    return {file: name if count[name] == 1 else file for file, name in names.items()}
