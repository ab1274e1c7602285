"""Optimizers, and the learning rates that suit them where the recipe leaves these open."""

from collections import defaultdict
from collections.abc import Mapping

import torch

from edgetl.recipe.networks import ModelConfig

__all__ = ["make_optimizer", "peak_learning_rate", "tuning_learning_rate"]

_DECAY = {"adamw": 0.02, "sgd": 1e-4}
"""SGD's is that of ResNet (arXiv 1512.03385)."""

_TUNING = {"adamw": 3e-4, "sgd": 1e-3}
"""Peak for a network whose head is fitted already; AdamW's was measured in benchmarks/transfer.py.

SGD's reached 60.7 % top-1 where AdamW's reached 61.2: lpft, a MobileNetV2 at 64 px, 50 CIFAR images a class, one seed.
"""


def make_optimizer(
    model: torch.nn.Module, config: ModelConfig, rate: float, factors: Mapping[int, float] | None = None
) -> torch.optim.Optimizer:
    """The recipe's optimizer, with a group for each weight decay and factor of the learning rate.

    Args:
        model: Its parameters that want a gradient are trained.
        config: Optimizer and weight decay.
        rate: Highest learning rate.
        factors: Factor of the learning rate by a parameter's `id`; 1 for all others.
    """
    wanted = _DECAY[config.optimizer] if config.weight_decay == "auto" else config.weight_decay
    members: defaultdict[tuple[float, float], list[torch.nn.Parameter]] = defaultdict(list)
    for parameter in model.parameters():
        if parameter.requires_grad:
            # Biases and norms have no decay, which only hurts them.
            decay = wanted if parameter.ndim > 1 else 0.0
            members[decay, (factors or {}).get(id(parameter), 1.0)].append(parameter)
    groups = [
        {"params": parameters, "weight_decay": decay, "factor": factor}
        for (decay, factor), parameters in members.items()
    ]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, lr=rate)


def peak_learning_rate(config: ModelConfig, network: torch.nn.Module) -> float:
    """The recipe's learning rate; 'auto' depends on optimizer and weights and, from scratch, on the network.

    Measured on a MobileNetV2 of half width, from scratch, in equal time (benchmarks/quality.py): over a rate of 0.002,
    0.004 gained 1.5 points of top-1, 0.006 5.0, 0.008 5.2 and 0.016 0.6.

    SGD's follows the images of a step: 0.1 for 256 from scratch (Goyal et al., arXiv 1706.02677), and a tenth of that
    without batch norm, which was not measured. Pretrained weights want less (Li et al., arXiv 2002.11770). Measured on
    a MobileNetV2 at 64 px with 50 CIFAR images a class, 32 a step, six epochs, one seed: 0.001 reached 36.1 % top-1,
    0.003 37.6, 0.01 28.3; AdamW 47.0. So it is between the first two for 32 images.
    """
    if config.learning_rate != "auto":
        return config.learning_rate
    # Batch norm cancels the scale of the filters before it and so allows larger steps (arXiv 1806.02375).
    normalised = any(isinstance(module, torch.nn.modules.batchnorm._BatchNorm) for module in network.modules())
    if config.optimizer == "sgd":
        per_256 = (0.1 if normalised else 0.01) if config.weights == "none" else 0.02
        return per_256 * config.batch * config.accumulate / 256
    if config.weights != "none":
        return 0.0005
    return 0.006 if normalised else 0.001


def tuning_learning_rate(config: ModelConfig) -> float:
    """The recipe's learning rate; 'auto' is one that suits a fitted head."""
    return _TUNING[config.optimizer] if config.learning_rate == "auto" else config.learning_rate
