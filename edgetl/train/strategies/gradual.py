"""Gradual: stages are trained from the head down, later ones faster (ULMFiT, Howard and Ruder, arXiv 1801.06146)."""

from edgetl.train.backbone import Backbone
from edgetl.train.loop import Record
from edgetl.train.strategies.features import probed
from edgetl.train.strategies.partial import judged, outcome_of
from edgetl.train.task import Outcome, Task
from edgetl.train.tuning import Tuning, rate_of, tune

__all__ = ["DECAY", "learn"]

_PARTS = (0.25, 0.5, 1.0)
"""Stages that are trained in each phase, as fractions of all, from the last."""

DECAY = 1 / 1.3
"""Factor of the rate from a stage to the one before it; the paper's 1/2.6 is for a fourth as many layers."""


def learn(task: Task, backbone: Backbone, epochs: int) -> Outcome:
    """Fit the head, then train more and more stages, a third of the epochs each."""
    champion = probed(task, backbone)
    head = champion.final_head
    records: list[Record] = []
    for number, part in enumerate(_PARTS):
        first = len(task.stages) - max(1, round(part * len(task.stages)))
        share = max(1, epochs * (number + 1) // len(_PARTS) - epochs * number // len(_PARTS))
        tuning = Tuning(first, share, rate_of(task), DECAY)
        for record in tune(task, backbone, tuning, task.final, f"phase {number + 1}", None if number else head):
            records.append(record | {"epoch": len(records) + 1})
        if number < len(_PARTS) - 1:
            for record in records:
                record.pop("kept", None)  # the next phase goes on from these weights
    right_N = judged(task, backbone, tuning)
    return outcome_of(champion, records, right_N, "gradual", "trained from the head down, later stages faster")
