"""The loss of a student: the recipe's losses, each with its weight."""

import torch

from edgetl.data.dataset import Batch
from edgetl.distill.answers import Answers
from edgetl.distill.losses import Contrastive, Hint, decoupled_kd, dist, hinton_kd
from edgetl.distill.settled import Losses
from edgetl.train.labels import label_loss
from edgetl.train.trainee import Objective
from edgetl.zoo.head import FeatureTap

__all__ = ["FromTeacher"]

_LEARNED = {"feature": Hint, "crd": Contrastive}


class FromTeacher(Objective):
    """The weighted sum of the recipe's losses.

    Args:
        losses: Weights and temperature.
        answers: The teachers' answers to every batch.
        tap: Captures the student's features; needed only by losses of features.
        teacher_width: Features per image of the teacher; likewise.
        smoothing: Label smoothing of the true labels.
        weights_K: Weight of each class in the loss of the true labels; None for 1.
    """

    weights_K: torch.Tensor | None

    def __init__(
        self,
        losses: Losses,
        answers: Answers,
        *,
        tap: FeatureTap | None = None,
        teacher_width: int = 0,
        smoothing: float = 0.0,
        weights_K: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        self._losses = losses
        self._answers = answers
        self._tap = tap
        self._smoothing = smoothing
        self.register_buffer("weights_K", weights_K, persistent=False)
        width = tap.width if tap else 0
        self.learned = torch.nn.ModuleDict({name: _LEARNED[name](width, teacher_width) for name in losses.of_features})

    def forward(self, logits_NK: torch.Tensor, batch: Batch) -> torch.Tensor:
        terms = {**self._of_answers(logits_NK.float(), batch), **self._of_features(batch)}
        return torch.stack([weight * terms[name] for name, weight in self._losses.weights.items()]).sum()

    def _of_answers(self, student_NK: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        asked, temperature = self._losses.weights, self._losses.temperature
        terms: dict[str, torch.Tensor] = {}
        if "hard" in asked:
            terms["hard"] = label_loss(student_NK, batch, smoothing=self._smoothing, weights_K=self.weights_K)
        if {"kd", "dkd", "dist"} & set(asked):
            teacher_NK = self._answers.logits(batch).to(student_NK)
            if "kd" in asked:
                terms["kd"] = hinton_kd(student_NK, teacher_NK, temperature)
            if "dkd" in asked:
                terms["dkd"] = decoupled_kd(student_NK, teacher_NK, _targets(batch, teacher_NK), temperature)
            if "dist" in asked:
                terms["dist"] = dist(student_NK, teacher_NK, temperature)
        return terms

    def _of_features(self, batch: Batch) -> dict[str, torch.Tensor]:
        if not self._tap:
            return {}
        student_ND = self._tap.take().float()
        teacher_ND = self._answers.features(batch).to(student_ND)
        return {name: module(student_ND, teacher_ND) for name, module in self.learned.items()}


def _targets(batch: Batch, teacher_NK: torch.Tensor) -> torch.Tensor:
    """True labels; the teacher's best class where there is none."""
    return torch.where(batch.labels_N >= 0, batch.labels_N, teacher_NK.argmax(1))
