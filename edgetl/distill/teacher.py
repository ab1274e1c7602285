"""Teachers: trained networks whose outputs are mapped to the student's classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from edgetl.errors import DataError
from edgetl.runs.folder import RunFolder
from edgetl.zoo.build import load_classifier
from edgetl.zoo.classifier import Classifier

__all__ = ["Ensemble", "Teacher", "load_teacher"]


@dataclass(frozen=True)
class Teacher:
    """One teacher, loaded."""

    run: RunFolder
    classifier: Classifier
    """In eval mode."""

    columns: tuple[int, ...]
    """The output of each of the student's classes."""

    @property
    def weights_sha256(self) -> str:
        """Hash of its weights."""
        return self.run.weights_sha256

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.run.manifest["model"]["name"])

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return int(self.run.manifest["model"]["parameters"])

    def logits(self, images_NHWC: torch.Tensor) -> torch.Tensor:
        """Logits `(N, K)` in the student's order of classes."""
        logits_NK: torch.Tensor = self.classifier(images_NHWC)
        return logits_NK[:, list(self.columns)]


class Ensemble(nn.Module):
    """Several teachers as one: the mean of their logits, from `uint8 (N, H, W, 3)`.

    This equals the normalised geometric mean of their probabilities at every temperature (Hinton et al., arXiv
    1503.02531, section 3).
    """

    def __init__(self, teachers: Sequence[Teacher]) -> None:
        super().__init__()
        self._teachers = teachers
        self._networks = nn.ModuleList(teacher.classifier for teacher in teachers)

    def forward(self, images_NHWC: torch.Tensor) -> torch.Tensor:
        """Logits `(N, K)`."""
        return torch.stack([teacher.logits(images_NHWC) for teacher in self._teachers]).mean(0)


def load_teacher(run: RunFolder, labels: Sequence[str], class_map: Mapping[str, str]) -> Teacher:
    """Load a trained network as a teacher.

    Args:
        run: Its run folder.
        labels: The student's classes.
        class_map: The teacher's name of a class where it differs.

    Raises:
        DataError: The teacher does not know one of the classes.
    """
    known = run.contract.labels
    wanted = [class_map.get(label, label) for label in labels]
    missing = [label for label, name in zip(labels, wanted, strict=True) if name not in known]
    if missing:
        raise DataError(f"{run.path}: the teacher does not know {missing[0]!r}")
    return Teacher(run, load_classifier(run), tuple(known.index(name) for name in wanted))
