"""Auto: the probe first; then training, which is kept only if it is better by more than luck."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgetl.train.backbone import Backbone
from edgetl.train.folds import Fold
from edgetl.train.luck import enough_errors, is_better
from edgetl.train.strategies.features import Champion, probed
from edgetl.train.strategies.partial import judged, outcome_of
from edgetl.train.task import Outcome, Task
from edgetl.train.tuning import Tuning, tried, tune

__all__ = ["learn"]

_HALVES = 2
_MOST_TRIED = 2000
"""Images that a trial learns from, and that it is judged by, at most."""


def learn(task: Task, backbone: Backbone, tuning: Tuning) -> Outcome:
    """Fit the head; try to train the last stages; keep what answers better on images that it has not seen."""
    champion = probed(task, backbone)
    probe = champion.probe
    _say(task, f"Probe: {probe.sentence()}: {_share(probe.right_N)} of images that it has not seen.")
    if not enough_errors(probe.right_N):
        return champion.outcome("the probe leaves too few mistakes for anything else to be shown to be better")
    return (_crossed if task.crosses else _held_out)(champion, backbone, tuning)


def _crossed(champion: Champion, backbone: Backbone, tuning: Tuning) -> Outcome:
    """Try on halves of the images, with half of the epochs; what wins is then trained on all of them."""
    task = champion.task
    short = replace(tuning, epochs=max(1, tuning.epochs // 2))
    trained_N, fitted_N = np.zeros(0, np.bool_), np.zeros(0, np.bool_)
    for number, fold in enumerate(task.folds(_HALVES)):
        learn_N, judge_N = _thinned(fold)
        head = champion.head(learn_N)
        right_N = tried(task, backbone, short, (learn_N, judge_N), f"trial {number + 1}", head)
        trained_N = np.concatenate([trained_N, right_N])
        fitted_N = np.concatenate([fitted_N, champion.right(head, judge_N)])
        if is_better(trained_N, fitted_N):
            reason = _compared(task, tuning, trained_N, fitted_N)
            records = tune(task, backbone, tuning, task.final, "", champion.head(task.final))
            return outcome_of(champion, records, trained_N, "partial", reason)
    return champion.outcome(f"{_compared(task, tuning, trained_N, fitted_N)}, which may be luck")


def _held_out(champion: Champion, backbone: Backbone, tuning: Tuning) -> Outcome:
    """Train, and keep it if it beats the probe on the validation split."""
    task = champion.task
    records = tune(task, backbone, tuning, task.final, "", champion.head(task.final))
    right_N = judged(task, backbone, tuning)
    assert right_N is not None
    reason = _compared(task, tuning, right_N, champion.probe.right_N)
    if is_better(right_N, champion.probe.right_N):
        return outcome_of(champion, records, right_N, "partial", reason)
    return champion.outcome(f"{reason}, which may be luck")


def _thinned(fold: Fold) -> Fold:
    """Evenly chosen images of a large fold."""
    learn_N, judge_N = (part[:: -(-len(part) // _MOST_TRIED)] for part in fold)
    return learn_N, judge_N


def _compared(task: Task, tuning: Tuning, trained_N: NDArray[np.bool_], fitted_N: NDArray[np.bool_]) -> str:
    what = f"from {task.stages[tuning.first].name!r} on" if tuning.first else "of all stages"
    return f"training {what} reached {_share(trained_N)}, the fitted head alone {_share(fitted_N)}"


def _say(task: Task, text: str) -> None:
    if task.context.processes.first:
        task.context.reporter.say(text)


def _share(right_N: NDArray[np.bool_]) -> str:
    return f"{right_N.mean():.1%} of {len(right_N):,}"
