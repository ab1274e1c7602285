"""A network with its normalisation inside, trained and exported as one module."""

from typing import Any

import torch
from torch import nn

from edgetl.errors import ModelError

__all__ = ["Classifier"]


class Classifier(nn.Module):
    """Takes `uint8 (N, H, W, 3)` and returns logits `(N, K)`.

    Normalisation and layout are part of the module, so that training, verification and every exported graph share them.

    Args:
        net: A network from `float (N, 3, H, W)` to logits `(N, K)`.
        mean: Per channel, of values scaled to 0..1.
        std: Per channel, of values scaled to 0..1.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, net: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # the stubs lack it
        self.register_buffer("mean", torch.tensor(mean) * 255.0, persistent=False)
        self.register_buffer("std", torch.tensor(std) * 255.0, persistent=False)
        self.entry: dict[str, Any] = {}
        """How to build it again: the manifest's `model` entry, where it was built for a training."""

    def forward(self, images_NHWC: torch.Tensor) -> torch.Tensor:
        scaled_NHWC = (images_NHWC.to(torch.float32) - self.mean) / self.std
        # A permuted NHWC tensor already is channels-last in memory: no copy here, no TRANSPOSE in TFLite.
        logits_NK = self.net(scaled_NHWC.permute(0, 3, 1, 2))
        if not isinstance(logits_NK, torch.Tensor):
            raise ModelError(f"{type(self.net).__name__} returns several outputs; choose the timm model of that name")
        return logits_NK
