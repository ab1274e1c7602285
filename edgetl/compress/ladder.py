"""The rescue ladder: rung after rung, each format is written, run and judged, until it is inside the bounds."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgetl.compress.family import Family
from edgetl.compress.formats import Quantizer
from edgetl.compress.judge import Judge, Judgement, Limits
from edgetl.compress.rungs import RUNGS, Climb, Draft
from edgetl.config import Rung
from edgetl.quiet import quiet
from edgetl.runner.contract import Contract
from edgetl.runner.errors import RunnerError

__all__ = ["Attempt", "Ladder", "Open"]


@dataclass(frozen=True)
class Attempt:
    """One format on one rung, as the receipt keeps it."""

    format: str
    rung: Rung
    note: str
    judgement: Judgement | None
    """None if the runtime did not run the file, or there was none to run."""

    passed: bool
    in_float: tuple[str, ...]
    """Layers that compute in float."""

    problem: str
    """Why the file did not run."""

    seconds: float
    """Since the attempt before it."""

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            **{name: getattr(self, name) for name in ("format", "rung", "note", "passed", "problem", "seconds")},
            "in_float": list(self.in_float),
            "measured": self.judgement.to_dict() if self.judgement else None,
        }


@dataclass
class Open:
    """A format that climbs."""

    name: str
    quantizer: Quantizer
    family: Family
    file: Path
    """Where its best file is to be."""

    best: Attempt | None = None
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether it is inside the bounds."""
        return self.best is not None and self.best.passed


class Ladder:
    """Climbs.

    Args:
        climb: What the rungs are given.
        judge: Measures files.
        contract: Goes into the files.
        limits: The bounds.
    """

    def __init__(self, climb: Climb, judge: Judge, contract: Contract, limits: Limits) -> None:
        self._climb, self._judge, self._contract, self._limits = climb, judge, contract, limits
        self._last = time.perf_counter()

    def climb(self, formats: Iterable[Open]) -> None:
        """Take every format up until it passes or no rung is left; the best file of each stays."""
        formats = list(formats)
        for rung in self._climb.config.rungs:
            families = {id(each.family): each.family for each in formats if not each.passed}
            for family in families.values():
                climbing = [each for each in formats if each.family is family and not each.passed]
                for draft in RUNGS[rung](self._climb, family):
                    for each in climbing:
                        self._try(rung, draft, each)
                    climbing = [each for each in climbing if not each.passed]
                    if not climbing:
                        break

    def _try(self, rung: Rung, draft: Draft, each: Open) -> None:
        judgement, problem = None, ""
        missing: tuple[str, ...] = ()
        with TemporaryDirectory(dir=each.file.parent, prefix=".attempt-") as folder:
            file = Path(folder) / each.file.name
            # A first rung that finds nothing better leaves the plan that it started from.
            if plan := draft.plan or (None if each.best else each.family.plan):
                with quiet():
                    missing = each.quantizer.write(plan, self._contract, file)
                judgement, problem = self._judged(file)
            attempt = Attempt(
                format=each.name,
                rung=rung,
                note=draft.note,
                judgement=judgement,
                passed=judgement is not None and judgement.score.passes(self._limits),
                in_float=tuple(sorted({*each.family.in_float, *draft.in_float, *missing})),
                problem=problem,
                seconds=self._lap(),
            )
            each.attempts.append(attempt)
            if judgement and (each.best is None or self._excess(attempt) < self._excess(each.best)):
                each.best = attempt
                for made in Path(folder).iterdir():
                    made.replace(each.file.parent / made.name)
        self._climb.reporter.say(_told(attempt))

    def _judged(self, file: Path) -> tuple[Judgement | None, str]:
        """What was measured of a file, or why it does not run."""
        try:
            with self._climb.reporter.library("judging inference"):
                return self._judge.judge(file), ""
        except RunnerError as cause:
            return None, str(cause)

    def _lap(self) -> float:
        """Seconds since the last attempt."""
        last, self._last = self._last, time.perf_counter()
        return round(self._last - last, 3)

    def _excess(self, attempt: Attempt) -> tuple[float, float]:
        """How far an attempt is out of bounds, and then how many answers it changes."""
        assert attempt.judgement
        found = attempt.judgement.score
        over = max(0.0, found.drop - self._limits.max_drop) + max(0.0, found.flips - self._limits.max_flips)
        return over, found.flips


def _told(attempt: Attempt) -> str:
    start = f"{attempt.format}, {attempt.rung} ({attempt.note})"
    if attempt.judgement is None:
        return f"{start}: does not run ({attempt.problem})" if attempt.problem else start
    found = attempt.judgement.score
    verdict = "" if attempt.passed else ", out of bounds"
    return (
        f"{start}: top-1 {found.top1:.2%} (drop {100 * found.drop:.2f} points),"
        f" {found.flips:.2%} of the answers change{verdict}"
    )
