"""Attempts at a quantized file: each one is written, run and judged, and the best is kept."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgetl.errors import RunnerFailed
from edgetl.quantize.judge import Judge, Judgement
from edgetl.quantize.recall import FORGETFUL, Recall
from edgetl.recipe.fields import Format, Scheme
from edgetl.runs.files import sha256_of
from edgetl.runs.quiet import quiet
from edgetl.runs.reporter import Reporter
from edgetl.runs.verdict import Limits
from edgetl.runs.words import accuracy

__all__ = ["Attempt", "Contender", "Trials"]


@dataclass(frozen=True)
class Attempt:
    """One attempt at a file, as the receipt records it."""

    file: str
    """Name of the file that was attempted."""

    format: Format
    precision: Scheme
    rung: str
    """A rung of the ladder, or `rounding` for a scheme that has none."""

    note: str
    judgement: Judgement | None
    """None if the runtime failed to run the file, or nothing was written."""

    passed: bool
    """Whether the file is inside the limits on the images that judge it."""

    settled: bool
    """Whether it is inside by one standard error; then nothing further is tried."""

    in_float: tuple[str, ...]
    """Layers that compute in float."""

    problem: str
    """Why the runtime failed to run the file; empty if it ran."""

    seconds: float
    """Since the attempt before it."""

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        names = ("file", "format", "precision", "rung", "note", "passed", "settled", "problem", "seconds")
        return {
            **{name: getattr(self, name) for name in names},
            "in_float": list(self.in_float),
            "measured": self.judgement.to_dict() if self.judgement else None,
        }


@dataclass
class Contender:
    """A file to be made, and the attempts at it."""

    name: Format
    precision: Scheme
    file: Path
    """Path of the best one."""

    best: Attempt | None = field(default=None, init=False)
    attempts: list[Attempt] = field(default_factory=list, init=False)

    @property
    def passed(self) -> bool:
        """Whether the best file is inside the limits."""
        return self.best is not None and self.best.passed

    @property
    def settled(self) -> bool:
        """Whether nothing further needs to be tried."""
        return self.best is not None and self.best.settled


class Trials:
    """Makes attempts.

    Args:
        judge: Measures files.
        limits: What a file may lose.
        reporter: Receives one line per attempt.
        recall: Keeps judgements.
    """

    def __init__(self, judge: Judge, limits: Limits, reporter: Reporter, recall: Recall = FORGETFUL) -> None:
        self.judge, self.limits, self._recall = judge, limits, recall
        self._reporter = reporter
        self._last = time.perf_counter()

    def attempt(
        self,
        contender: Contender,
        rung: str,
        note: str,
        write: Callable[[Path], tuple[str, ...]] | None,
        in_float: tuple[str, ...] = (),
    ) -> None:
        """Write a file, run it and judge it; keep it if it is the contender's best.

        Args:
            contender: The file to attempt.
            rung: How it is made.
            note: Details of the rung, for people.
            write: Writes the file and returns the names of layers that had to stay in float; None if there is nothing
                to write.
            in_float: Layers left in float on purpose.
        """
        judgement, problem = None, ""
        missing: tuple[str, ...] = ()
        with TemporaryDirectory(dir=contender.file.parent, prefix=".attempt-") as folder:
            file = Path(folder) / contender.file.name
            if write:
                with quiet():
                    missing = write(file)
                judgement, problem = self._judged(file)
            attempt = Attempt(
                file=contender.file.name,
                format=contender.name,
                precision=contender.precision,
                rung=rung,
                note=note,
                judgement=judgement,
                passed=judgement is not None and judgement.score.verdict(self.limits).passed,
                settled=judgement is not None and judgement.score.excess(self.limits) == 0,
                in_float=tuple(sorted({*in_float, *missing})),
                problem=problem,
                seconds=self._lap(),
            )
            contender.attempts.append(attempt)
            if judgement and (contender.best is None or self._excess(attempt) < self._excess(contender.best)):
                contender.best = attempt
                for made in Path(folder).iterdir():
                    made.replace(contender.file.parent / made.name)
        self._reporter.say(_told(attempt))

    def _judged(self, file: Path) -> tuple[Judgement | None, str]:
        """The judgement of a file, or why it does not run."""
        try:
            with self._reporter.library("judging inference"):
                key = [sha256_of(each) for each in (file, file.with_suffix(".bin")) if each.is_file()]
                return self._recall.judgement(key, lambda: self.judge.judge(file)), ""
        except RunnerFailed as cause:
            return None, str(cause)

    def _lap(self) -> float:
        """Seconds since the previous attempt."""
        last, self._last = self._last, time.perf_counter()
        return round(self._last - last, 3)

    def _excess(self, attempt: Attempt) -> tuple[float, float]:
        """Sort key: how far an attempt is outside the limits, then the part of the answers it changes."""
        assert attempt.judgement
        found = attempt.judgement.score
        return found.excess(self.limits), found.flips


def _told(attempt: Attempt) -> str:
    start = f"{attempt.format} {attempt.precision}, {attempt.rung} ({attempt.note})"
    if attempt.judgement is None:
        return f"{start}: does not run ({attempt.problem})" if attempt.problem else start
    found = attempt.judgement.score
    verdict = "" if attempt.passed else ", out of bounds"
    return (
        f"{start}: top-1 {accuracy(found.top1, found.images)}, drop {100 * found.drop:.2f} ± "
        f"{100 * found.drop_error:.2f} points, {found.flips:.2%} of the answers change{verdict}"
    )
