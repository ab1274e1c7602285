"""What every strategy is given: a pretrained network, images to learn from, and how its answers are judged."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from edgetl.data.grid import ViewGrid
from edgetl.data.views import Mixing
from edgetl.recipe.networks import ModelConfig
from edgetl.runs.stage import StageContext
from edgetl.train.balance import EVEN, Balance
from edgetl.train.best import kept_record
from edgetl.train.folds import Fold, folds_of
from edgetl.train.labels import FromLabels
from edgetl.train.loop import Record
from edgetl.train.trainee import Objective
from edgetl.zoo.classifier import Classifier
from edgetl.zoo.stages import NetworkStage

__all__ = ["LabelTeaching", "Outcome", "Task", "Teaching", "say_what_is_single"]


class Teaching(ABC):
    """Where the right answers come from: true labels, or a teacher."""

    name: str
    """'by labels' or 'by the teacher'."""

    by_labels: bool
    """Whether only images with a label teach, and any view of them; a teacher has answers to the grid's views alone."""

    balance: Balance = EVEN
    """How much each class counts."""

    knows_judged: bool = False
    """Whether what is said of an image may come from others that judge: from a teacher that learned from all."""

    at_most: float = 1.0
    """The share of images that a trial can show a network to be right about; more is what a teacher knew of them."""

    @abstractmethod
    def targets(self, grid: ViewGrid, classes: int) -> NDArray[np.float32]:
        """Probabilities of the classes for each view of each image, `(R, N, K)`."""

    @abstractmethod
    def objective(self) -> Objective:
        """The loss of a training."""

    def counted(self, top1: float) -> float:
        """What a trial has shown, of what it reached."""
        return min(top1, self.at_most)


class LabelTeaching(Teaching):
    """True labels.

    Args:
        smoothing: Label smoothing of the training's loss; heads are fitted without.
        balance: How much each class counts.
    """

    name = "by labels"
    by_labels = True

    def __init__(self, smoothing: float, balance: Balance = EVEN) -> None:
        self._smoothing = smoothing
        self.balance = balance

    def targets(self, grid: ViewGrid, classes: int) -> NDArray[np.float32]:
        one_hot_NK = np.eye(classes, dtype=np.float32)[[sample.label for sample in grid.samples]]
        return np.stack([_mixed(one_hot_NK, grid.mixed(row)) for row in range(grid.rows)])

    def objective(self) -> Objective:
        return FromLabels(self._smoothing, self.balance.loss_weights)


@dataclass(frozen=True)
class Task:
    """A network to fit to images."""

    title: str
    """Shown with the progress."""

    name: str
    """Name of the checkpoint folder: a stage, or a part of one as 'stage/part'."""

    section: Literal["teacher", "student"]
    """Section of the recipe that it follows."""

    config: ModelConfig
    context: StageContext
    classifier: Classifier
    """In eval mode; strategies change it in place."""

    stages: Sequence[NetworkStage]
    grid: ViewGrid
    """The images to learn from, then those to judge by; both in the order of their paths."""

    learned: int
    """Images, from the first, that are learned from."""

    crosses: bool
    """Whether images are judged by cross-validation: the validation split then is learned from as well."""

    teaching: Teaching
    seed: int
    initial: dict[str, torch.Tensor] = field(default_factory=dict)
    """The weights to start from."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """The class of each image."""
        return np.array([sample.label for sample in self.grid.samples], np.int64)

    @property
    def final(self) -> NDArray[np.int64]:
        """Positions of the images that the network which is kept learns from."""
        return self._teaching(np.arange(len(self.grid.samples) if self.crosses else self.learned))

    def folds(self, count: int) -> list[Fold]:
        """What is learned from and judged in a trial: several folds, or the two splits of the data.

        Of fewer images than folds each is a fold of its own. Images without a label judge nothing; a teacher's student
        learns from them in every fold.
        """
        labels, everything = self.labels, np.arange(len(self.grid.samples))
        if not self.crosses:
            return [(self._teaching(everything[: self.learned]), everything[self.learned :])]
        known = np.flatnonzero(labels >= 0)
        folds = folds_of(labels[known].tolist(), min(count, len(known)), seed=self.grid.views.seed)
        return [(self._teaching(np.setdiff1d(everything, known[judge])), known[judge]) for _, judge in folds]

    def _teaching(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of some images that teach."""
        return positions[self.labels[positions] >= 0] if self.teaching.by_labels else positions

    def restart(self) -> None:
        """Give the network the weights it had at first."""
        self.classifier.load_state_dict(self.initial)


def _mixed(one_hot_NK: NDArray[np.float32], mixings: Sequence[Mixing] | None) -> NDArray[np.float32]:
    """Labels as the images of a row are mixed."""
    if not mixings:
        return one_hot_NK
    count = len(mixings)
    share_N1 = np.array([mixing.share for mixing in mixings], np.float32)[:, None]
    partners = [mixing.partner for mixing in mixings]
    mixed_NK = one_hot_NK.copy()
    mixed_NK[:count] = (1 - share_N1) * one_hot_NK[:count] + share_N1 * one_hot_NK[partners]
    return mixed_NK


@dataclass(frozen=True)
class Outcome:
    """How a network was fitted."""

    records: list[Record]
    """One per epoch; one in all if a head was fitted."""

    val_top1: float
    val_images: int
    """Images that this is a fraction of."""

    learned: dict[str, Any]
    """What was chosen and why, for the manifest: `strategy`, `reason` and figures."""

    as_probe: Callable[[], None] | None = None
    """Gives the network its pretrained weights back with the head that was fitted to them: what training has to beat.

    None where no head was fitted.
    """

    @classmethod
    def in_full(cls, records: list[Record], val_images: int, reason: str) -> "Outcome":
        """The outcome of a training of the whole network; its accuracy is that of the epoch whose weights were kept."""
        kept = kept_record(records)
        assert kept is not None
        return cls(records, kept["val_top1"], val_images, {"strategy": "full", "reason": reason})


def say_what_is_single(task: Task) -> None:
    """Say which classes have a single image to learn from, and what can live with that."""
    labels = task.labels[task.final]
    counts = np.bincount(labels[labels >= 0], minlength=len(task.context.contract.labels))
    single = [label for label, count in zip(task.context.contract.labels, counts, strict=True) if count == 1]
    if single and task.context.processes.first:
        named = (
            f"Class {single[0]!r} has" if len(single) == 1 else f"Classes {single[0]!r} and {len(single) - 1} more have"
        )
        task.context.reporter.say(
            f"{named} one image to learn from. The strategy 'features' can live with that; what trains more of the"
            " network sees no other image of it."
        )
