"""What a plan would do: which stages would run, which are current, and how long it may take."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from edgetl.chain.plan import PlannedRun
from edgetl.chain.running import setting_of
from edgetl.chain.stages import STAGES
from edgetl.runs.folder import RunFolder
from edgetl.runs.reporter import Reporter
from edgetl.runs.words import duration

__all__ = ["Forecast", "forecast", "total_of"]


@dataclass(frozen=True)
class Forecast:
    """One stage of one run."""

    run: PlannedRun
    stage: str
    state: Literal["current", "to do", "again"]
    """`again`: it was made, but its inputs have changed since."""

    seconds: float | None
    """How long it took the last time; None if it never ran."""

    @property
    def expectation(self) -> str:
        """The time that it may take, as text."""
        if self.state == "current":
            return ""
        return duration(self.seconds) if self.seconds is not None else "not known yet"

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        told = {"run": str(self.run.folder), "role": self.run.role}
        return {**told, "stage": self.stage, "state": self.state, "seconds": self.seconds}


def forecast(plan: Sequence[PlannedRun], reporter: Reporter) -> list[Forecast]:
    """Look at every stage of a plan; nothing is written.

    Raises:
        EdgetlError: Something would stop the plan.
    """
    found: list[Forecast] = []
    for run in plan:
        changed = {each.run.folder for each in found if each.state != "current"}
        found += _look(run, reporter, any(parent.folder in changed for parent in run.parents))
    return found


def _look(run: PlannedRun, reporter: Reporter, parents_change: bool) -> list[Forecast]:
    folder = RunFolder.prepare(run.folder)
    # While a parent has yet to be trained, no stage that depends on it can be current.
    setting = None if parents_change or not run.stages else setting_of(run, reporter)
    found: list[Forecast] = []
    stale: set[str] = set()
    for name in run.stages:
        record, stage = folder.stage(name), STAGES[name]
        current = setting is not None and not stale & set(stage.reads)
        current = current and setting is not None and folder.is_current(name, setting.inputs_of(stage))
        if not current:
            stale.add(name)
        state: Literal["current", "to do", "again"] = "current" if current else "again" if record else "to do"
        found.append(Forecast(run, name, state, record["seconds"] if record else None))
    return found


def total_of(found: Sequence[Forecast]) -> str:
    """The sum of the known times, in a sentence."""
    open_ones = [each for each in found if each.state != "current"]
    if not open_ones:
        return "Nothing would run: every stage is current."
    known = sum(each.seconds or 0.0 for each in open_ones)
    unknown = sum(each.seconds is None for each in open_ones)
    start = f"{len(open_ones)} of {len(found)} stages would run"
    if unknown == len(open_ones):
        return f"{start}; none has run here before, so their time is unknown. Each training prints an estimate first."
    more = f", not counting {unknown} that never ran here" if unknown else ""
    return f"{start}: about {duration(known)}, judging by the last time{more}."
