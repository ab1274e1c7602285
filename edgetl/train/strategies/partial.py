"""Partial, and lpft: the head is fitted first, then the last stages are trained, or all of them."""

import numpy as np
from numpy.typing import NDArray

from edgetl.train.backbone import Backbone
from edgetl.train.loop import Record
from edgetl.train.strategies.features import Champion, probed
from edgetl.train.task import Outcome, Task
from edgetl.train.tuning import Tuning, right_of, tune

__all__ = ["HEAD_ALONE", "judged", "learn", "outcome_of"]

HEAD_ALONE = "the head that training started from"
"""What the validation figures are of, where no image is left that the trained network has not seen."""


def learn(task: Task, backbone: Backbone, tuning: Tuning, strategy: str) -> Outcome:
    """Fit the head, then train the stages from `tuning.first` on."""
    champion = probed(task, backbone)
    records = tune(task, backbone, tuning, task.final, "", champion.final_head)
    reason = "all stages were trained, from a fitted head"
    if tuning.first:
        reason = f"the stages from {task.stages[tuning.first].name!r} on were trained, from a fitted head"
    return outcome_of(champion, records, judged(task, backbone, tuning), strategy, reason)


def judged(task: Task, backbone: Backbone, tuning: Tuning) -> NDArray[np.bool_] | None:
    """Whether a trained network is right about the validation images; None if it has learned from these."""
    if task.crosses:
        return None
    ((_, judge_N),) = task.folds(1)
    right_N: NDArray[np.bool_] = right_of(task, backbone, tuning, judge_N)[0]
    return right_N


def outcome_of(
    champion: Champion, records: list[Record], right_N: NDArray[np.bool_] | None, strategy: str, reason: str
) -> Outcome:
    """What a training led to.

    Args:
        champion: The probe that it started from.
        records: One per epoch.
        right_N: Whether it is right, per image that it has not seen; None if there are none, and the probe's score is
            all that is known.
        strategy: Its name.
        reason: Why it was chosen.
    """
    known_N = champion.probe.right_N if right_N is None else right_N
    top1 = champion.task.teaching.counted(float(known_N.mean()))
    learned = champion.learned(strategy, reason) | ({"judged": HEAD_ALONE} if right_N is None else {})
    return Outcome(records, top1, len(known_N), learned, champion.put)
