"""A classifier with its loss, trained on images that may start small."""

from abc import ABC, abstractmethod

import torch
from torch import nn
from torch.nn.functional import interpolate

from edgetl.data.dataset import Batch

__all__ = ["Objective", "Trainee", "side_of_step"]

_STEP_PX = 32
"""Total stride of the usual networks, which divides every size evenly."""

_GROWING = 0.7
"""Fraction of the steps in which images grow."""


class Objective(nn.Module, ABC):
    """The loss of a training; a module, because some losses have parameters of their own."""

    @abstractmethod
    def forward(self, logits_NK: torch.Tensor, batch: Batch) -> torch.Tensor:
        """The mean loss of a batch, a scalar."""


class Trainee(nn.Module):
    """A classifier with its objective in one module, so that several processes share one gradient."""

    def __init__(self, classifier: nn.Module, objective: Objective, side: int | None) -> None:
        super().__init__()
        self.classifier = classifier
        self.objective = objective
        self.side = side
        """Current height and width of the images, in pixels; None if they are not resized, or are no images."""

    def forward(self, batch: Batch) -> torch.Tensor:
        """The mean loss of a batch, a scalar."""
        images_NHWC = batch.images_NHWC
        logits_NK = self.classifier(_resized(images_NHWC, self.side) if self.side else images_NHWC)
        loss: torch.Tensor = self.objective(logits_NK, batch)
        return loss


def side_of_step(step: int, total_steps: int, *, side: int, resize_from: float) -> int:
    """Height and width of a step's images, which grows to the full side in steps of 32 px.

    Progressive resizing (Howard, 2018; Tan and Le, arXiv 2104.00298): small images are cheap, and enough at first. The
    last 30 % of the steps use the full size.

    Args:
        step: From 0.
        total_steps: Steps of the whole training.
        side: Full height and width, in pixels.
        resize_from: Side at the first step, as a fraction of the full one.
    """
    grown = min(1.0, step / (_GROWING * total_steps))
    wanted = side * (resize_from + (1 - resize_from) * grown)
    return side if 1 in (grown, resize_from) else min(side, max(_STEP_PX, int(wanted // _STEP_PX) * _STEP_PX))


def _resized(images_NHWC: torch.Tensor, side: int) -> torch.Tensor:
    if images_NHWC.shape[1] == side:
        return images_NHWC
    images_NCHW = images_NHWC.permute(0, 3, 1, 2).to(torch.float32)
    return interpolate(images_NCHW, size=(side, side), mode="bilinear", antialias=True).permute(0, 2, 3, 1)
