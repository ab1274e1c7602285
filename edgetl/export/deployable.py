"""The graph that is exported: raw pixels in, probabilities out."""

import torch
from torch import nn

from edgetl.artifact import RunFolder
from edgetl.zoo.build import load_classifier
from edgetl.zoo.classifier import Classifier

__all__ = ["Deployable", "load_deployable"]


class Deployable(nn.Module):
    """Takes `uint8 (N, H, W, 3)` and returns probabilities `float (N, K)`."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.classifier(image), dim=-1)


def load_deployable(folder: RunFolder) -> Deployable:
    """Build a run's trained network as the graph that is exported, in eval mode.

    Raises:
        RunFolderError: The run has no trained weights yet.
    """
    deployable = Deployable(load_classifier(folder))
    # Converters trace the plain layout; channels-last is a matter of speed in training.
    deployable.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # the stubs lack it
    deployable.eval()
    return deployable
