"""A run's results for programs: what `--json` prints, as docs/json.md says."""

from typing import Any

from edgetl.bench.recommend import recommend
from edgetl.bench.timings import read_timings
from edgetl.runs.folder import RunFolder
from edgetl.verify.schema import read_proof

__all__ = ["answer_of"]

_PAGE = "report.html"


def answer_of(folder: RunFolder) -> dict[str, Any]:
    """Where the run is, what was measured so far, what was found out about it and each file, and which to ship."""
    verify, bench = read_proof(folder) or {}, read_timings(folder) or {}
    proofs, times = ({each["file"]: each for each in of.get("artifacts", [])} for of in (verify, bench))
    artifacts = folder.artifacts() if folder.stage("export") else []
    found = recommend(verify, bench)
    return {
        "run": str(folder.path),
        "metrics": folder.manifest["metrics"],
        "network": verify.get("worth"),
        "files": [
            {
                **artifact.named(),
                "bytes": artifact.size_bytes,
                "verdict": proofs.get(artifact.file, {}).get("verdict"),
                "top1": proofs.get(artifact.file, {}).get("top1"),
                "p50_ms": times.get(artifact.file, {}).get("inference", {}).get("p50_ms"),
            }
            for artifact in artifacts
        ],
        "recommended": found.to_dict() if found else None,
        "report": str(folder.path / _PAGE) if _PAGE in folder.manifest["files"] else None,
    }
