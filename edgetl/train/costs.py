"""What a training costs: a pure function of the seconds that one image takes in each kind of work, and of counts.

The seconds are measured by `edgetl.train.measuring`; how they add up stands here, and nothing here reads a clock.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from edgetl.recipe.networks import Strategy
from edgetl.train.hidden import EPOCHS
from edgetl.train.strategies.auto import trial_visits
from edgetl.train.transfer import LEAST_STORED

__all__ = ["Costs", "HeadCosts", "Size", "Work", "bill", "piped"]

_EVALUATIONS = 375
"""Passes over all samples in which a probe's penalties and folds are tried; counted with 50 CIFAR images a class."""

_REFIT_EVALUATIONS = 30
"""Those of a head that is fitted once more with the penalty that was found."""

_HIDDEN_VISITS = 3 * EPOCHS
"""Passes over all samples in which four folds fit a hidden layer, at most."""


@dataclass(frozen=True)
class HeadCosts:
    """Seconds of fitting heads."""

    fixed_s: float = 0.0
    """Of a problem, whatever its samples: the eigenvectors of the features' covariance."""

    sample_s: float = 0.0
    """Of a problem, for each sample: its part of the covariance, and its coordinates."""

    evaluation_s: float = 0.0
    """Of one evaluation of the loss, for each sample."""

    hidden_s: float = 0.0
    """Of fitting a hidden layer, for each sample and epoch; 0 if there is none."""

    def probe_s(self, images: int, rows: int) -> float:
        """Find the best head on the plain images and on all their views."""
        samples = images * (1 + rows)
        linear_s = 2 * self.fixed_s + samples * (self.sample_s + _EVALUATIONS * self.evaluation_s)
        return linear_s + images * rows * _HIDDEN_VISITS * self.hidden_s

    def refit_s(self, samples: int) -> float:
        """Fit one head with a penalty that is known."""
        linear_s = self.fixed_s + samples * (self.sample_s + _REFIT_EVALUATIONS * self.evaluation_s)
        return linear_s + samples * EPOCHS * self.hidden_s


@dataclass(frozen=True)
class Costs:
    """Seconds of one image in each kind of work, with all processes and decoding workers at it."""

    view_s: float
    """A view is decoded, and the network answers it."""

    step_s: float
    """A training step on views that are decoded for it."""

    stored_step_s: float = 0.0
    """A training step on stored activations."""

    stored_view_s: float = 0.0
    """An answer of the trained part to stored activations."""

    answer_s: float = 0.0
    """A view is decoded in the teachers' size, and they answer it; 0 without a teacher."""

    head: HeadCosts = field(default_factory=HeadCosts)


@dataclass(frozen=True)
class Work:
    """Images, and in which ways they are learned from."""

    strategy: Strategy
    """'full' also where 'auto' trains in full."""

    learned: int
    """Images that are learned from in the end."""

    judged: int
    """Images that only judge: those of the validation split, unless they are learned from, too."""

    tested: int
    crosses: bool
    """Whether images are judged by cross-validation, and a training is tried on halves of them."""

    ways: int = 1
    """Teachings that are tried: by labels, and by a teacher."""

    looked_at: int = 0
    """Plain images that random weights answer, too, to see whether pretrained ones help."""

    stored_views: int = 0
    """Most views whose activations fit on the disk; 0 if the strategy stores none."""

    answered: Callable[[int], int] = lambda epochs: epochs
    """Views that a teacher answers for a training in full of so many epochs."""


@dataclass(frozen=True)
class Size:
    """How much is done."""

    strategy: Strategy
    views: int
    """Augmented views of each image whose features are computed; 0 where none are."""

    epochs: int
    """Passes over the images; 0 where only a head is fitted."""

    def sentence(self) -> str:
        """In words."""
        views = f"{self.views} view{'s' * (self.views > 1)}"
        epochs = f"{self.epochs} epoch{'s' * (self.epochs > 1)}"
        if self.strategy == "features":
            return f"the head alone, on {views} of each image"
        return f"{self.strategy}, {epochs}" if self.strategy == "full" else f"{self.strategy}, {views} and {epochs}"


def bill(work: Work, costs: Costs, size: Size) -> dict[str, float]:
    """Seconds by part; where a trial decides how much is done, the most that it can be."""
    test_s = work.tested * costs.view_s
    if size.strategy == "full":
        answers_s = work.learned * work.answered(size.epochs) * costs.answer_s
        training_s = size.epochs * (work.learned * costs.step_s + work.judged * costs.view_s)
        return _present({"teacher's answers": answers_s, "training": training_s, "test": test_s})
    rows = 1 + size.views
    views = rows * work.learned + work.judged
    parts = {"teacher's answers": views * costs.answer_s, "features": (views + work.looked_at) * costs.view_s}
    parts["head"] = work.ways * costs.head.probe_s(work.learned, rows) + costs.head.refit_s(work.learned * rows)
    if size.strategy == "auto":
        parts["trial"] = _trial_s(work, costs, size)
    if size.strategy != "features":
        # Without halves to try on, every teaching is trained on all images, which is its trial.
        once = size.strategy != "auto" or work.crosses
        parts["training"] = size.epochs * work.learned * _step_s(work, costs, size) if once else 0.0
        parts["training"] += work.judged * costs.view_s
    return _present({**parts, "test": test_s})


def piped(decoding_s: float, network_s: float, *, workers: int, threads: int, cores: int) -> float:
    """Seconds of a view that workers decode while a network runs; they share the cores.

    Args:
        decoding_s: Of one process that decodes.
        network_s: Of the network, alone.
        workers: Processes that decode; without any, the network waits for each view.
        threads: Cores that the network takes while it runs; 0 on a GPU.
        cores: All there are.
    """
    if not workers:
        return decoding_s + network_s
    busy_s = decoding_s + network_s * min(threads, cores)
    return max(network_s, decoding_s / min(workers, cores), busy_s / cores)


def _trial_s(work: Work, costs: Costs, size: Size) -> float:
    """All teachings, each on both halves; or on everything, where the validation split judges."""
    step_s = _step_s(work, costs, size)
    if not work.crosses:
        return work.ways * (size.epochs * work.learned * step_s + work.judged * costs.view_s)
    visits = trial_visits(work.learned, size.epochs)
    judging_s = costs.stored_view_s if _is_stored(work, size) else costs.view_s
    heads_s = 2 * costs.head.refit_s((1 + size.views) * work.learned // 2)
    return work.ways * (visits * step_s + work.learned * judging_s + heads_s)


def _step_s(work: Work, costs: Costs, size: Size) -> float:
    return costs.stored_step_s if _is_stored(work, size) else costs.step_s


def _is_stored(work: Work, size: Size) -> bool:
    return LEAST_STORED <= size.views <= work.stored_views


def _present(parts: dict[str, float]) -> dict[str, float]:
    return {name: seconds for name, seconds in parts.items() if seconds > 0}
