"""The learning-rate range test: the rate rises exponentially, step by step, until the loss explodes.

Smith, 'Cyclical Learning Rates', arXiv 1506.01186. As in his paper the highest rate of a cycle is suggested: the one at
which the loss stops falling. The end is that of fastai's `lr_find`: the smoothed loss is four times its minimum.

Batches differ in difficulty by more than a network with a fitted head can still learn. So the network as it was at
first answers each batch, too, and the difference counts. That needs less smoothing than fastai's decay of 0.98, which
shows the minimum late; fastai suggests a tenth of its rate, or the middle of the descent.
"""

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from edgetl.data.dataset import Batch
from edgetl.data.loader import training_batches
from edgetl.runs.stage import StageContext
from edgetl.train.loop import Training, enter_training
from edgetl.train.memory import kept_memory
from edgetl.train.optimizer import make_optimizer
from edgetl.train.step import Stepper, is_half
from edgetl.train.trainee import Trainee

__all__ = ["RangeTest", "judged", "swept"]

_STEPS = 100
_LOWEST, _HIGHEST = 1e-6, 1.0
_DECAY = 0.9
_EXPLODED = 4.0
"""Times the smallest smoothed loss at which the test ends."""

_AT_ONCE = 0.25
"""Part of the steps before which an explosion says that no rate is small enough."""

_SKIPPED = 0.1
"""Part of the steps at the start that tell how much the loss varies, and suggest nothing."""

_STANDARD_ERRORS, _LEAST_FALL = 4.0, 0.01
"""By how many of its own the smoothed loss has to fall, as it has a hundred chances to; and by which part of itself."""


@dataclass(frozen=True)
class RangeTest:
    """What a range test found."""

    rates: list[float]
    losses: list[float]
    """Mean loss of each step's images."""

    initial: list[float]
    """Those of the network as it was at first."""

    smoothed: list[float]
    """Of the differences, from the mean of the initial losses on."""

    suggested: float | None
    """A peak rate, or None if the losses name none."""

    reason: str
    """Where it stands, or why there is none."""

    @property
    def relative(self) -> list[float]:
        """The losses without what makes one batch harder than another."""
        return _relative(self.losses, self.initial)

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def swept(network: torch.nn.Module, training: Training, context: StageContext) -> RangeTest:
    """Train with a rising rate; the network is of no use afterwards.

    Args:
        network: What the training would start from.
        training: What it would train on, and how.
        context: The stage's context.
    """
    training = training.in_whole_steps
    config, accelerator = training.config, Accelerator(cpu=not torch.cuda.is_available(), mixed_precision="no")
    device = accelerator.device
    side = training.views.contract.height if training.takes_pixels else None
    trainee = Trainee(network, training.objective, side).to(device)
    at_first = deepcopy(trainee)
    model, optimizer = accelerator.prepare(trainee, make_optimizer(trainee, config, _LOWEST, training.rates))
    half = is_half(config, training.section, device)
    stepper = Stepper(model, optimizer, accelerator, config, part=config.batch, half=half)
    batches = training_batches(
        training.index,
        training.samples,
        training.views,
        training.order,
        range(_STEPS),
        workers=context.recipe.data.workers,
        stored=training.stored,
    )
    rates: list[float] = []
    losses: list[float] = []
    initial: list[float] = []
    torch.manual_seed(training.order.seed)
    with context.reporter.track("Raising the learning rate", _STEPS) as advance, kept_memory():
        for batch in batches:
            rates.append(_LOWEST * (_HIGHEST / _LOWEST) ** (batch.step / (_STEPS - 1)))
            for group in optimizer.param_groups:
                group["lr"] = group["factor"] * rates[-1]
            for each in (model, at_first):
                enter_training(each, training)
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                initial.append(_answered(at_first, batch, config.batch, device))
            losses.append(float(stepper.step(batch)))
            advance(1, f"{rates[-1]:.1e}")
            if _has_exploded(_smoothed(_relative(losses, initial))):
                break
    return judged(rates, losses, initial)


def _answered(trainee: Trainee, batch: Batch, most: int, device: torch.device) -> float:
    """The mean loss of a batch, of which so many images are computed at once."""
    images, total = len(batch.labels_N), 0.0
    with torch.no_grad():
        for start in range(0, images, most):
            part = batch.part(start, min(start + most, images))
            total += len(part.labels_N) * float(trainee(part.to(device)))
    return total / images


def judged(rates: Sequence[float], losses: Sequence[float], initial: Sequence[float], steps: int = _STEPS) -> RangeTest:
    """Suggest a rate.

    Args:
        rates: Rising.
        losses: One for each rate; the last may be one that exploded.
        initial: Those of the network as it was at first.
        steps: That there would have been without an explosion.
    """
    relative = _relative(losses, initial)
    smoothed = _smoothed(relative)
    suggested, reason = _suggestion(rates, relative, initial, smoothed, steps)
    finite = [number for number, value in enumerate(smoothed) if math.isfinite(value)]
    kept = len(finite)
    return RangeTest(list(rates[:kept]), list(losses[:kept]), list(initial[:kept]), smoothed[:kept], suggested, reason)


def _suggestion(
    rates: Sequence[float], relative: Sequence[float], initial: Sequence[float], smoothed: Sequence[float], steps: int
) -> tuple[float | None, str]:
    if _has_exploded(smoothed) and len(relative) <= _AT_ONCE * steps:
        return None, f"the loss explodes at once, with a rate of {rates[-1]:.1g}"
    first = round(_SKIPPED * steps)
    level, later = sum(initial) / len(initial), np.nan_to_num(smoothed[first:], nan=math.inf)
    noise = float(np.std(relative[:first], ddof=1)) * math.sqrt((1 - _DECAY) / (1 + _DECAY))
    if later.min() > level - max(_STANDARD_ERRORS * noise, _LEAST_FALL * level):
        return None, "no rate makes the loss fall by more than chance"
    return float(rates[first + int(later.argmin())]), "where the smoothed loss is lowest"


def _relative(losses: Sequence[float], initial: Sequence[float]) -> list[float]:
    mean = sum(initial) / len(initial)
    return [loss - at_first + mean for loss, at_first in zip(losses, initial, strict=True)]


def _smoothed(losses: Sequence[float]) -> list[float]:
    """The moving average, as if it had started with the mean of what it has seen."""
    found, average = [], 0.0
    for number, loss in enumerate(losses, start=1):
        average = _DECAY * average + (1 - _DECAY) * loss
        found.append(average / (1 - _DECAY**number))
    return found


def _has_exploded(smoothed: Sequence[float]) -> bool:
    return not math.isfinite(smoothed[-1]) or smoothed[-1] > _EXPLODED * max(min(smoothed), 0.0)
