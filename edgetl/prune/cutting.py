"""Take channels out of a trained network, the least important of each layer first.

Filters, norms and inputs that share a channel lose it together. Torch-Pruning finds them by following the gradients of
one image (Fang et al., 'DepGraph', arXiv 2301.12900). The importance of a channel is the mean of the squared norms of
everything that depends on it: on the digits, neither the Taylor expansion of the loss nor a ranking over all layers at
once was better (docs/distillation.md). This module decides how many channels stay, because Torch-Pruning rounds down,
even to none.
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
import torch_pruning
from torch import nn

from edgetl.zoo.classifier import Classifier
from edgetl.zoo.head import head_of

__all__ = ["LEAST_KEPT", "Cutter", "channels_kept"]

LEAST_KEPT = 1 / 8
"""Smallest fraction of the channels that may stay; a network with fewer hardly recovers in training."""


@dataclass(frozen=True)
class _Channels:
    """The outputs of a layer, and everything that depends on the same channels."""

    layer: str
    """Name of the layer."""

    order: list[int]
    """The channels, the least important first."""


class Cutter:
    """Cuts channels out of copies of a network.

    Args:
        classifier: The trained network; it is not changed.
        side: Height and width of its input, in pixels.
    """

    def __init__(self, classifier: Classifier, side: int) -> None:
        self._classifier = deepcopy(classifier).eval()
        self._side = side
        with torch.inference_mode():
            num_classes = self._classifier(torch.zeros(1, side, side, 3, dtype=torch.uint8)).shape[1]
        self._channels = _channels(self._classifier.net, _graph(self._classifier, side), num_classes)

    def cut(self, kept: float, multiple: int) -> Classifier:
        """Return a copy that keeps a fraction of the channels of each layer, in eval mode.

        Args:
            kept: Fraction that stays.
            multiple: The number that stays is a multiple of this; layers that are no wider keep all channels.
        """
        classifier = deepcopy(self._classifier)
        graph = _graph(classifier, self._side)
        for channels in self._channels:
            layer, width = classifier.net.get_submodule(channels.layer), len(channels.order)
            gone = channels.order[: width - channels_kept(width, kept, multiple)]
            group = graph.get_pruning_group(layer, graph.get_pruner_of_module(layer).prune_out_channels, gone)
            # A layer whose input several layers supply must not lose all of that input.
            if gone and graph.check_pruning_group(group):
                group.prune()
        return classifier


def channels_kept(width: int, kept: float, multiple: int) -> int:
    """How many of `width` channels stay: the multiple nearest to the wanted fraction, and at least one multiple."""
    return min(width, max(multiple, round(kept * width / multiple) * multiple))


def _graph(classifier: Classifier, side: int) -> Any:
    return torch_pruning.DependencyGraph().build_dependency(classifier.net, torch.zeros(1, 3, side, side))


def _channels(net: nn.Module, graph: Any, num_classes: int) -> list[_Channels]:
    """Every set of channels that can be cut, in order of importance; the outputs for the classes are never cut."""
    importance = torch_pruning.importance.GroupMagnitudeImportance(normalizer=None)
    names = {layer: name for name, layer in net.named_modules()}
    head = head_of(net, num_classes)
    own = list(head.modules()) if head else []
    groups = graph.get_all_groups(ignored_layers=own, root_module_types=[nn.Conv2d, nn.Linear])
    scored = [(names[group[0].dep.target.module], importance(group)) for group in groups]
    return [_Channels(layer, scores.argsort().tolist()) for layer, scores in scored if scores is not None]
