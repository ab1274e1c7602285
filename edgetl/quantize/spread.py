"""Whether the choice of calibration images decides the accuracy: plans from three disjoint thirds are compared."""

from dataclasses import asdict, dataclass
from typing import Any

from edgetl.quantize.family import Family
from edgetl.quantize.judge import HeldOut, Score
from edgetl.quantize.plan import Simulation
from edgetl.quantize.sweep import SweepSettings
from edgetl.runs.reporter import Reporter

__all__ = ["THIRDS", "Spread", "calibration_spread"]

_PARTS = 3

THIRDS = tuple(slice(part, None, _PARTS) for part in range(_PARTS))
"""Of the calibration images."""

_CHANCE_IMAGES = 2.5
"""A difference of one or two answers is within noise."""


@dataclass(frozen=True)
class Spread:
    """Scores of plans from different calibration images, in simulation."""

    images: int
    """Calibration images of each plan."""

    judged_images: int
    """Images on which they are compared."""

    scores: tuple[Score, ...]

    @property
    def top1(self) -> float:
        """Largest minus smallest top-1, as a fraction of 1."""
        found = [each.top1 for each in self.scores]
        return max(found) - min(found)

    def decides(self, max_drop: float) -> bool:
        """Whether the choice of images moves top-1 by more than the limit and by more than noise."""
        return self.top1 > max(max_drop, _CHANCE_IMAGES / self.judged_images)

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {"images": self.images, "top1_spread": self.top1, "scores": [asdict(each) for each in self.scores]}


def calibration_spread(family: Family, held_out: HeldOut, reporter: Reporter) -> Spread:
    """Quantize by the first rung with each third of the calibration images.

    Args:
        family: Was quantized with all calibration images.
        held_out: Images on which plans are compared.
        reporter: Shows progress.
    """
    planner = family.planner
    settings = SweepSettings(family.width, family.ranges, in_float=family.in_float)
    scores = []
    with reporter.track("Calibration spread", _PARTS, even=True) as advance:
        for part in THIRDS:
            plan = planner.plan(settings, part=part)
            scores.append(held_out.score(Simulation(planner.graph_of(plan), plan).predict(held_out.images_NHWC)))
            advance(1, "")
    return Spread(len(planner.images_NHWC) // _PARTS, len(held_out.labels_N), tuple(scores))
