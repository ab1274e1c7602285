"""Auto: the probe first; then training, which is kept only if it is better by more than luck.

Given several teachings of one network, such as a teacher's answers and true labels, each is tried, and the one whose
network is right more often is kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgetl.train.backbone import Backbone
from edgetl.train.folds import Fold
from edgetl.train.loop import Record
from edgetl.train.luck import enough_errors, is_better
from edgetl.train.probe import Probe
from edgetl.train.strategies.features import Champion, probed
from edgetl.train.strategies.partial import judged, outcome_of
from edgetl.train.task import Outcome, Task
from edgetl.train.tuning import Tuning, epochs_of, judged_rows, tried, tune

__all__ = ["OtherWay", "learn", "trial_visits"]

_HALVES = 2
_STANDARD_ERRORS = 1.0
"""By how many a training on half of the images has to beat its head.

With 50 CIFAR images a class, EfficientNet-Lite2 was better by 1.3 on halves, and by 3.8 points of top-1 with all.
"""

_TRIED_EPOCHS, _FEW = 8, 1000
"""Epochs of a trial, at most; of more images than that half, since of few these would be too few steps."""

_MOST_TRIED = 2000
"""Images that a trial learns from, and that it is judged by, at most."""


OtherWay = Callable[[Probe], Task | None]
"""Gives the same network and images taught in another way, where that is worth a try against the probe on labels."""


@dataclass(frozen=True)
class _Trial:
    """What a training reached on images that it has not seen, beside the head it started from."""

    champion: Champion
    trained_RN: NDArray[np.bool_]
    """Whether it is right about each view of each image; the first row is that of the plain images."""

    fitted_RN: NDArray[np.bool_]

    @property
    def wins(self) -> bool:
        """Whether the training is better than its head; half of the images understate what all of them would give."""
        return is_better(self.trained_RN.mean(0), self.fitted_RN.mean(0), standard_errors=_STANDARD_ERRORS)

    @property
    def fails(self) -> bool:
        """Whether the training is worse than its head by as much."""
        return is_better(self.fitted_RN.mean(0), self.trained_RN.mean(0), standard_errors=_STANDARD_ERRORS)

    @property
    def reached(self) -> float:
        """The share of all views that the training is right about, as a fraction of 1.

        A teacher that has learned from these images, too, tells about them in what it says of others. So no more counts
        than it reached itself on images that were new to it.
        """
        return self.champion.task.teaching.counted(float(self.trained_RN.mean()))


def learn(task: Task, backbone: Backbone, tuning: Tuning, other_way: OtherWay | None = None) -> Outcome:
    """Fit the head; try to train the last stages; keep what answers better on images that it has not seen.

    Args:
        task: What is fitted.
        backbone: What the network said of the images.
        tuning: Which stages are trained, and how long.
        other_way: Another way to teach it, if there is one.
    """
    champions = [probed(task, backbone)]
    probe = champions[0].probe
    _say(task, f"Probe: {probe.sentence()}: {_share(probe.right_N[None])} of images that it has not seen.")
    if not enough_errors(probe.right_N):
        mistakes = int((~probe.right_N).sum())
        return champions[0].outcome(f"its {mistakes} mistakes are too few for anything else to be shown to be better")
    if other_way and (other := other_way(probe)):
        champions.insert(0, probed(other, backbone))
    # What knows the images that judge may only seem to have the better head.
    fair = [each for each in champions if not each.task.teaching.knows_judged] or champions
    best = max(fair, key=lambda each: each.probe.top1)
    outcome = (_crossed if task.crosses else _held_out)(champions, best, backbone, tuning)
    return replace(outcome, as_probe=champions[-1].put)  # of the labels alone


def _crossed(champions: Sequence[Champion], best: Champion, backbone: Backbone, tuning: Tuning) -> Outcome:
    """Try on halves of the images; what wins is then trained on all of them."""
    short = replace(tuning, epochs=_tried_epochs(len(champions[0].task.final), tuning.epochs))
    nothing_RN = np.zeros((len(judged_rows(champions[0].task, backbone, short)), 0), np.bool_)
    trials = [_Trial(champion, nothing_RN, nothing_RN) for champion in champions]
    for half in range(_HALVES):
        trials = [_with_half(trial, backbone, short, half) for trial in trials]
        trial = max(trials, key=lambda each: each.reached)
        # One half is enough if it decides.
        if trial.wins or trial.fails:
            break
    reason = _compared(trial, tuning)
    if not trial.wins:
        return _with_tried(best.outcome(f"{reason}, which may be luck"), trials)
    records = _trained(trial.champion, backbone, tuning)
    outcome = outcome_of(trial.champion, records, trial.trained_RN[0], "partial", reason)
    return _with_others(outcome, trial, trials)


def _trained(champion: Champion, backbone: Backbone, tuning: Tuning) -> list[Record]:
    """Train on all images, from the head, in as many epochs as its teaching deserves."""
    task = champion.task
    return tune(task, backbone, replace(tuning, epochs=epochs_of(task)), task.final, "", champion.final_head)


def _with_half(trial: _Trial, backbone: Backbone, tuning: Tuning, half: int) -> _Trial:
    """A trial that has also learned from one half of the images, and is judged by the other."""
    champion = trial.champion
    learn_N, judge_N = _thinned(champion.task.folds(_HALVES)[half])
    head = champion.head(learn_N)
    right_RN = tried(champion.task, backbone, tuning, (learn_N, judge_N), f"trial {half + 1}", head)
    fitted_RN = champion.right(head, judge_N, judged_rows(champion.task, backbone, tuning))
    return _Trial(champion, np.hstack([trial.trained_RN, right_RN]), np.hstack([trial.fitted_RN, fitted_RN]))


def _held_out(champions: Sequence[Champion], best: Champion, backbone: Backbone, tuning: Tuning) -> Outcome:
    """Train, and keep it if it beats the probe on the validation split."""
    found = []
    for champion in champions:
        task = champion.task
        records = _trained(champion, backbone, tuning)
        right_N = judged(task, backbone, tuning)
        assert right_N is not None
        weights = {name: value.clone() for name, value in task.classifier.state_dict().items()}
        found.append((_Trial(champion, right_N[None], best.probe.right_N[None]), records, weights))
    trial, records, weights = max(found, key=lambda each: each[0].reached)
    reason = _compared(trial, tuning)
    if not is_better(trial.trained_RN[0], trial.fitted_RN[0]):
        return _with_tried(best.outcome(f"{reason}, which may be luck"), [each for each, _, _ in found])
    trial.champion.task.classifier.load_state_dict(weights)
    outcome = outcome_of(trial.champion, records, trial.trained_RN[0], "partial", reason)
    return _with_others(outcome, trial, [each for each, _, _ in found])


def _with_others(outcome: Outcome, best: _Trial, trials: Sequence[_Trial]) -> Outcome:
    """The outcome with what the other teachings reached, for the manifest and the reason."""
    if len(trials) == 1:
        return outcome
    outcome = _with_tried(outcome, trials)
    reached: dict[str, float] = outcome.learned["tried"]
    others = [f"{share:.1%} {name}" for name, share in reached.items() if name != best.champion.task.teaching.name]
    taught = best.champion.task.teaching.name
    is_less = best.reached < best.trained_RN.mean()
    counted = f", counted as {best.reached:.1%} since it knows these images" if is_less else ""
    reason = f"{outcome.learned['reason']}, taught {taught}{counted} ({', '.join(others)})"
    return replace(outcome, learned={**outcome.learned, "taught": taught, "reason": reason})


def _with_tried(outcome: Outcome, trials: Sequence[_Trial]) -> Outcome:
    """The outcome with what training by each teaching reached."""
    reached = {trial.champion.task.teaching.name: trial.reached for trial in trials}
    return replace(outcome, learned={**outcome.learned, "tried": reached})


def _thinned(fold: Fold) -> Fold:
    """Evenly chosen images of a large fold."""
    learn_N, judge_N = (part[:: -(-len(part) // _MOST_TRIED)] for part in fold)
    return learn_N, judge_N


def _compared(trial: _Trial, tuning: Tuning) -> str:
    what = f"from {trial.champion.task.stages[tuning.first].name!r} on" if tuning.first else "of all stages"
    return f"training {what} reached {_share(trial.trained_RN)}, the fitted head alone {_share(trial.fitted_RN)}"


def _say(task: Task, text: str) -> None:
    if task.context.processes.first:
        task.context.reporter.say(text)


def _share(right_RN: NDArray[np.bool_]) -> str:
    views, images = right_RN.shape
    return f"{right_RN.mean():.1%} of {f'{views} views of ' if views > 1 else ''}{images:,}"


def _tried_epochs(images: int, epochs: int) -> int:
    """Epochs of a trial of a training of so many."""
    return min(epochs, _TRIED_EPOCHS if images <= _FEW else _TRIED_EPOCHS // 2)


def trial_visits(images: int, epochs: int) -> int:
    """Images, each counted once an epoch, that the trial of one teaching on halves trains on at most."""
    half = images // _HALVES
    return _HALVES * _tried_epochs(images, epochs) * -(-half // max(1, -(-half // _MOST_TRIED)))
