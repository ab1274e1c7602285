"""The graph that is exported: raw pixels in, probabilities out."""

from copy import deepcopy

import torch
from torch import nn

from edgetl.runs.folder import RunFolder
from edgetl.zoo.build import load_classifier
from edgetl.zoo.classifier import Classifier

__all__ = ["Deployable", "deployable_of", "load_deployable"]


class Deployable(nn.Module):
    """Takes `uint8 (N, H, W, 3)` and returns probabilities `float (N, K)`.

    Args:
        classifier: What to export; its global pools are replaced by means, which compute the same.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier
        for module in list(classifier.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.AdaptiveAvgPool2d) and child.output_size in (1, (1, 1)):
                    setattr(module, name, _Mean())

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.classifier(image), dim=-1)


class _Mean(nn.Module):
    """Pools over rows and columns in one operator; the converters turn an adaptive pool into nine."""

    def forward(self, features_NCHW: torch.Tensor) -> torch.Tensor:
        return features_NCHW.mean((2, 3), keepdim=True)


def load_deployable(folder: RunFolder) -> Deployable:
    """Build a run's trained network as the graph that is exported, in eval mode.

    Raises:
        RunFolderError: The run has no trained weights yet.
    """
    return _ready(Deployable(load_classifier(folder)))


def deployable_of(classifier: Classifier) -> Deployable:
    """Copy a network into the graph that is exported, in eval mode."""
    return _ready(Deployable(deepcopy(classifier)))


def _ready(deployable: Deployable) -> Deployable:
    # Converters need the plain layout; channels-last only makes training faster.
    deployable.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # the stubs lack it
    deployable.eval()
    return deployable
