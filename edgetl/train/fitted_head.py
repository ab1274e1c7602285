"""The head of a network as it is fitted to features, before the network gets it."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["Head", "HiddenLayer", "cross_entropy", "logits_of"]


@dataclass(frozen=True)
class HiddenLayer:
    """A layer beside the linear one: it adds `relu(features @ weight.T + bias) @ output.T` to the logits."""

    weight_UD: NDArray[np.float32]
    bias_U: NDArray[np.float32]
    output_KU: NDArray[np.float32]


@dataclass(frozen=True)
class Head:
    """Logits are `features @ weight.T + bias`, and what a hidden layer adds."""

    weight_KD: NDArray[np.float32]
    bias_K: NDArray[np.float32]
    hidden: HiddenLayer | None = None


def logits_of(head: Head, features_SD: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits `(S, K)` of a head."""
    product = torch.from_numpy(features_SD) @ torch.from_numpy(head.weight_KD).T
    logits_SK: NDArray[np.float32] = (product + torch.from_numpy(head.bias_K)).numpy()
    return logits_SK + _added(head.hidden, features_SD) if head.hidden else logits_SK


def _added(layer: HiddenLayer, features_SD: NDArray[np.float32]) -> NDArray[np.float32]:
    inputs_SU = torch.from_numpy(features_SD) @ torch.from_numpy(layer.weight_UD).T + torch.from_numpy(layer.bias_U)
    added_SK: NDArray[np.float32] = (torch.relu(inputs_SU) @ torch.from_numpy(layer.output_KU).T).numpy()
    return added_SK


def cross_entropy(logits_SK: NDArray[np.float32], targets_SK: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cross-entropy of each sample, in nats."""
    logs_SK = torch.log_softmax(torch.from_numpy(logits_SK).double(), dim=1).numpy()
    losses_S: NDArray[np.float64] = -(targets_SK * logs_SK).sum(1)
    return losses_S
