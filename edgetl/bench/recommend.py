"""Which file to ship: of those that keep the accuracy, float files included, the one measured to be fastest."""

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgetl.runs.artifact import EXACT

__all__ = ["Recommendation", "advice", "recommend", "use_of"]

_CLEARLY = 0.67
"""Up to this fraction of the float file's time, the sentence does not point to 'edgetl explain'."""


@dataclass(frozen=True)
class Recommendation:
    """The recommended file, and what it was compared with."""

    file: str
    p50_ms: float
    top1: float
    candidates: int
    """Files that passed the proof and were timed."""

    compressed: int
    """Candidates in fewer bits than float."""

    float_file: str
    """The fastest float file among the candidates; empty if there is none."""

    float_p50_ms: float | None

    @property
    def to_float(self) -> float | None:
        """Its time as a fraction of the fastest float file's time."""
        return self.p50_ms / self.float_p50_ms if self.float_p50_ms else None

    @property
    def sentence(self) -> str:
        """What to do and why, in one line."""
        passed = "the only file that" if self.candidates == 1 else f"the fastest of {self.candidates} files that"
        start = f"Ship {self.file}: {self.p50_ms:.3g} ms, {passed} passed the proof"
        if self.to_float is None:
            return f"{start}."
        if self.file == self.float_file:
            less = "; no file in fewer bits is measurably faster here ('edgetl explain' says why)"
            return f"{start}{less if self.compressed else ''}."
        why = "" if self.to_float <= _CLEARLY else " 'edgetl explain' says where the time goes."
        return f"{start}, {self.to_float:.2f} of the time of the fastest float file ({self.float_p50_ms:.3g} ms).{why}"

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {**asdict(self), "to_float": self.to_float}


def advice(verify: dict[str, Any], bench: dict[str, Any]) -> str:
    """What to ship, or why that cannot be said, in one line; empty if nothing was proven and timed."""
    found = recommend(verify, bench)
    return found.sentence if found else _elsewhere(bench)


def use_of(run: Path, verify: dict[str, Any], bench: dict[str, Any]) -> str:
    """The command that uses the recommended file; empty if none is recommended."""
    found = recommend(verify, bench)
    return f"edgetl predict {shlex.quote(str(run / found.file))} IMAGE" if found else ""


def _elsewhere(bench: dict[str, Any]) -> str:
    """Say that the times are from another architecture than the target's; empty if they are not."""
    here, there = (bench.get(key, {}).get("architecture") for key in ("machine", "target_profile"))
    if not there or here == there:
        return ""
    name = bench["target"]
    return (
        f"No file is recommended for {name} ({there}), since the times are from this machine ({here})."
        " Time the files there: python -m edgetl_runner time FILE"
    )


def recommend(verify: dict[str, Any], bench: dict[str, Any]) -> Recommendation | None:
    """Choose from `verify.json` and `bench.json`; None if no timed file has passed, or the architectures differ.

    Among files whose medians are indistinguishable, choose the one whose answers agree best with the trained network,
    and among those the smallest.
    """
    proofs = {each["file"]: each for each in verify.get("artifacts", []) if each["verdict"]["status"] == "PASS"}
    timed = [each for each in bench.get("artifacts", []) if each["file"] in proofs]
    if not timed or _elsewhere(bench):
        return None
    reach_ms = _fastest(timed)["inference"]["p50_high_ms"]
    alike = [each for each in timed if each["inference"]["p50_low_ms"] <= reach_ms]
    best = min(alike, key=lambda each: (-proofs[each["file"]]["agreement"], each["size_bytes"]))
    floats = [each for each in timed if each["precision"] == EXACT]
    rival = best if best in floats else _fastest(floats) if floats else None
    return Recommendation(
        file=best["file"],
        p50_ms=best["inference"]["p50_ms"],
        top1=proofs[best["file"]]["top1"],
        candidates=len(timed),
        compressed=len(timed) - len(floats),
        float_file=rival["file"] if rival else "",
        float_p50_ms=rival["inference"]["p50_ms"] if rival else None,
    )


def _fastest(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return min(entries, key=lambda each: float(each["inference"]["p50_ms"]))
