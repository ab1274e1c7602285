"""A teacher's answers as what a pretrained student's head is fitted to, and its last stages are trained on."""

import numpy as np
import torch
from numpy.typing import NDArray

from edgetl.data.grid import ViewGrid
from edgetl.distill.answers import Answers
from edgetl.distill.objective import FromTeacher
from edgetl.distill.settled import Losses
from edgetl.train.balance import Balance
from edgetl.train.task import LabelTeaching, Teaching
from edgetl.train.trainee import Objective
from edgetl.zoo.classifier import Classifier
from edgetl.zoo.head import FeatureTap

__all__ = ["TeacherTeaching"]


class TeacherTeaching(Teaching):
    """The recipe's losses; heads are fitted to a mean of the teacher's probabilities and the true labels.

    Args:
        losses: Weights and temperature.
        answers: The teachers' answers to the grid's views.
        student: Whose features are compared, if a loss asks for that.
        teacher_width: Features of the teacher; 0 if no loss compares them.
        smoothing: Label smoothing of the true labels.
        seed: Seeds what the losses learn themselves.
        balance: How much each class counts in the head's fit and in the loss of the true labels.
        knows_judged: Whether the teacher may have learned from the images that judge its student.
        at_most: What the teacher itself is right about, of images that were new to it, as a fraction of 1.
    """

    name = "by the teacher"
    by_labels = False

    def __init__(
        self,
        losses: Losses,
        answers: Answers,
        student: Classifier,
        *,
        teacher_width: int,
        smoothing: float,
        seed: int,
        balance: Balance,
        knows_judged: bool,
        at_most: float,
    ) -> None:
        self._losses = losses
        self._answers = answers
        self._student = student
        self._teacher_width = teacher_width
        self._smoothing = smoothing
        self._seed = seed
        self.balance = balance
        self.knows_judged = knows_judged
        self.at_most = at_most

    def targets(self, grid: ViewGrid, classes: int) -> NDArray[np.float32]:
        """As `Teaching` says; an image without a label has the teacher's answer alone."""
        logits_RNK = torch.from_numpy(self._answers.everything())
        taught_RNK = torch.softmax(logits_RNK, dim=-1).numpy()
        true_RNK = LabelTeaching(0.0).targets(grid, classes)
        weights = self._losses.weights
        hard = weights.get("hard", 0.0) / sum(weights.values())
        share_N = np.array([hard if sample.label >= 0 else 0.0 for sample in grid.samples], np.float32)[:, None]
        mixed_RNK: NDArray[np.float32] = (1 - share_N) * taught_RNK + share_N * true_RNK
        return mixed_RNK

    def objective(self) -> Objective:
        classes = self._answers.classes
        torch.manual_seed(self._seed)
        return FromTeacher(
            self._losses,
            self._answers,
            tap=FeatureTap(self._student.net, classes) if self._losses.of_features else None,
            teacher_width=self._teacher_width,
            smoothing=self._smoothing,
            weights_K=self.balance.true_weights,
        )
