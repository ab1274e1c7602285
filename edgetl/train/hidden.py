"""A hidden layer beside a linear head, fitted to what the linear one leaves unexplained.

Logits are `W x + b + V relu(U x + c)`. W and b are those of a logistic regression and stay; V starts at zero, so the
fit starts from the linear head, and cross-validation can tell after how many epochs it is best, if after any. On
MobileNetV2's features of 50 and 200 CIFAR images a class, 64 to 1,024 units lower the loss by .001 to .01 nats, and
answer as many images right as the linear head, within .3 points.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from edgetl.recipe.networks import ModelConfig
from edgetl.train.fitted_head import Head, HiddenLayer, logits_of

__all__ = ["EPOCHS", "HiddenFit", "fitted_heads"]

EPOCHS = 20
"""The most that are tried; fits end when the loss on other images rises."""

_BATCH, _RATE, _DECAY = 64, 1e-4, 0.1
_DROPOUT = 0.5
"""Of hidden units, where the recipe leaves it open."""


@dataclass(frozen=True)
class HiddenFit:
    """How a hidden layer is fitted."""

    units: int
    dropout: float
    """Probability that a unit is left out of a step, as a fraction of 1."""

    seed: int

    @classmethod
    def of(cls, config: ModelConfig, seed: int) -> "HiddenFit | None":
        """The layer that a recipe asks for; None if it asks for none."""
        dropout = _DROPOUT if config.dropout == "auto" else config.dropout
        return cls(config.head_units, dropout, seed) if config.head_units else None


def fitted_heads(
    head: Head,
    features_SD: NDArray[np.float32],
    targets_SK: NDArray[np.float32],
    weights_S: NDArray[np.float32],
    fit: HiddenFit,
) -> Iterator[Head]:
    """A linear head with a hidden layer beside it, after each epoch.

    Args:
        head: The linear head.
        features_SD: One row per sample.
        targets_SK: Probabilities of the classes; rows sum to 1.
        weights_S: Weight of each sample.
        fit: Units, and how they are fitted.
    """
    generator = torch.Generator().manual_seed(fit.seed)
    mean_D = torch.from_numpy(features_SD.mean(0))
    scale = float(np.sqrt(features_SD.var(0).mean().clip(1e-12)))
    inputs_SD = (torch.from_numpy(features_SD) - mean_D) / scale
    linear_SK = torch.from_numpy(logits_of(head, features_SD))
    wanted_SK = torch.from_numpy(targets_SK)
    shares_S = torch.from_numpy(weights_S / weights_S.mean())
    width, classes = inputs_SD.shape[1], targets_SK.shape[1]
    hidden_UD = torch.randn((fit.units, width), generator=generator).mul_((2 / width) ** 0.5).requires_grad_(True)
    bias_U = torch.zeros(fit.units, requires_grad=True)
    output_KU = torch.zeros((classes, fit.units), requires_grad=True)
    groups = [{"params": [hidden_UD, output_KU], "weight_decay": _DECAY}, {"params": [bias_U], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=_RATE)
    for _ in range(EPOCHS):
        order_S = torch.randperm(len(inputs_SD), generator=generator)
        for start in range(0, len(order_S), _BATCH):
            some_B = order_S[start : start + _BATCH]
            units_BU = torch.relu(inputs_SD[some_B] @ hidden_UD.T + bias_U)
            kept_BU = torch.rand(units_BU.shape, generator=generator) >= fit.dropout
            logits_BK = linear_SK[some_B] + (units_BU * kept_BU / (1 - fit.dropout)) @ output_KU.T
            losses_B = -(wanted_SK[some_B] * torch.log_softmax(logits_BK, dim=1)).sum(1)
            optimizer.zero_grad()
            loss = (losses_B * shares_S[some_B]).mean()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        own_UD, output = hidden_UD.detach() / scale, output_KU.detach().clone()
        layer = HiddenLayer(own_UD.numpy(), (bias_U.detach() - own_UD @ mean_D).numpy(), output.numpy())
        yield Head(head.weight_KD, head.bias_K, layer)
