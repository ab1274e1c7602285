"""One optimizer step: the gradients of one batch or of several, clipped, in the recipe's precision."""

from contextlib import nullcontext
from itertools import pairwise
from typing import Literal

import torch
from accelerate import Accelerator

from edgetl.data.dataset import Batch
from edgetl.errors import ConfigError
from edgetl.recipe.networks import ModelConfig

__all__ = ["Stepper", "is_half"]


class Stepper:
    """Takes optimizer steps.

    Args:
        model: From a batch to its mean loss; as `accelerator` prepared it.
        optimizer: Of its parameters; likewise.
        accelerator: Shares gradients among processes.
        config: Precision, and the largest norm of the gradients.
        part: Images that are computed at once; a larger batch is divided.
        half: Whether forward passes are computed in bf16.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        accelerator: Accelerator,
        config: ModelConfig,
        *,
        part: int,
        half: bool,
    ) -> None:
        self._model = model
        self._plain = accelerator.unwrap_model(model)  # by itself, without the other processes
        self._optimizer = optimizer
        self._accelerator = accelerator
        self._clip_norm = config.clip_norm
        self._part = part
        self._half = half

    def step(self, batch: Batch) -> torch.Tensor:
        """Learn from a batch; returns its mean loss, a scalar.

        In several parts, gradients are weighted by the images of each, so that their sum is that of the whole batch for
        every loss that is a mean over images.
        """
        self._optimizer.zero_grad()
        parts = _parts(batch, self._part)
        losses = []
        for number, part in enumerate(parts, start=1):
            # Processes exchange gradients once, with those of the last part.
            waits = self._accelerator.no_sync(self._model) if number < len(parts) else nullcontext()
            with waits:
                losses.append(self._gradients(part, len(part.labels_N) / len(batch.labels_N)))
        if self._clip_norm:
            torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._clip_norm)
        self._optimizer.step()
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def attempt(self, batch: Batch, images: int) -> None:
        """Compute gradients of some images of a batch and drop them; raises what the allocator raises."""
        self._optimizer.zero_grad()
        with torch.autocast(self._accelerator.device.type, torch.bfloat16, enabled=self._half):
            loss = self._plain(batch.part(0, images).to(self._accelerator.device))
        loss.backward()
        self._optimizer.zero_grad()

    def _gradients(self, batch: Batch, share: float) -> torch.Tensor:
        device = self._accelerator.device
        with torch.autocast(device.type, torch.bfloat16, enabled=self._half):
            loss: torch.Tensor = self._model(batch.to(device))
        loss = loss.float() if share == 1 else loss.float() * share
        self._accelerator.backward(loss)
        return loss.detach()


def _parts(batch: Batch, most: int) -> list[Batch]:
    """A batch in parts of nearly equal size, each of at most `most` images."""
    images = len(batch.labels_N)
    count = -(-images // most)
    ends = [images * number // count for number in range(count + 1)]
    return [batch] if count == 1 else [batch.part(*pair) for pair in pairwise(ends)]


def is_half(config: ModelConfig, section: Literal["teacher", "student"], device: torch.device) -> bool:
    """Whether a training's forward passes are computed in bf16.

    Raises:
        ConfigError: The recipe asks for it, and the GPU cannot.
    """
    able = device.type != "cuda" or torch.cuda.is_bf16_supported()
    if config.precision == "bf16" and not able:
        hint = f"Choose --set {section}.precision=fp32."
        raise ConfigError(f"{section}.precision", "this GPU has no bf16", hint=hint)
    return config.precision == "bf16" or (config.precision == "auto" and device.type == "cuda" and able)
