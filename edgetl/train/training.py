"""What a training is: images, order, loss, and the recipe that it follows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from edgetl.data.index import ImageIndex, Sample
from edgetl.data.loader import Order
from edgetl.data.views import Views
from edgetl.errors import ConfigError
from edgetl.recipe.networks import ModelConfig
from edgetl.train.trainee import Objective

__all__ = ["Record", "Training", "check_judged"]

Record = dict[str, float]
"""Figures of one epoch: `epoch`, `loss`, `learning_rate`; where it was judged `val_top1` and `val_loss`; `kept` is true
in that of the epoch whose weights were kept, and in no other."""


@dataclass(frozen=True)
class Training:
    """What to train on, how long, and with which loss."""

    title: str
    checkpoints: str
    """Name of the checkpoint folder: a stage, or a part of one as 'stage/part'."""

    section: Literal["teacher", "student"]
    """Section of the recipe that it follows, for messages."""

    config: ModelConfig
    index: ImageIndex
    samples: Sequence[Sample]
    """The images to learn from."""

    views: Views
    order: Order
    """Of batches; a step takes as many as the recipe accumulates."""

    objective: Objective
    epochs: int
    stored: NDArray[Any] | None = None
    """Pixels of the views `(V, N, H, W, 3)`, if they were stored; or what a frozen part of the network says of them."""

    peak: float | None = None
    """Highest learning rate; None for the recipe's."""

    keep_norms: bool = False
    """Whether batch norms keep their statistics."""

    rates: Mapping[int, float] = field(default_factory=dict)
    """Factor of the learning rate by a parameter's `id`; 1 for all others."""

    is_judged: bool = True
    """Whether the network is scored on the validation split after each epoch."""

    whole: torch.nn.Module | None = None
    """The network, if only a part of it is trained."""

    @property
    def in_whole_steps(self) -> "Training":
        """The same with a step's batches as one, which the step divides again: order and rates are those of one."""
        times = self.config.accumulate
        return replace(self, order=replace(self.order, batch_size=self.order.batch_size * times))

    @property
    def takes_pixels(self) -> bool:
        """Whether batches are images, and not activations of a network."""
        return self.stored is None or self.stored.dtype == np.uint8

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole training."""
        return self.epochs * self.order.steps_per_epoch


def check_judged(config: ModelConfig, section: Literal["teacher", "student"], *, is_judged: bool) -> None:
    """Refuse what needs a validation after each epoch where there is none.

    Raises:
        ConfigError: The recipe asks for a plateau or for patience.
    """
    asked = {"schedule": config.schedule == "plateau", "patience": config.patience > 0}
    if (name := next((each for each, is_asked in asked.items() if is_asked), None)) and not is_judged:
        value, other = getattr(config, name), {"schedule": "cosine", "patience": 0}[name]
        problem = f"{value} needs a validation after each epoch, and this training has none"
        hint = f"Train in full with --set {section}.strategy=full, or choose --set {section}.{name}={other}."
        raise ConfigError(f"{section}.{name}", problem, hint=hint)
