"""The state of a training: what a checkpoint saves and restores."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from edgetl.runs.reporter import Reporter
from edgetl.runs.stage import StageContext
from edgetl.train.average import WeightAverage
from edgetl.train.best import BestEpoch
from edgetl.train.checkpoint import Checkpoint, Rhythm, Tensors, load_checkpoint, save_checkpoint
from edgetl.train.divergence import are_finite, first_bad
from edgetl.train.trainee import Trainee

__all__ = ["Progress", "TrainingState"]


@dataclass
class Progress:
    """How far a training has come."""

    steps_done: int = 0
    records: list[dict[str, float]] = field(default_factory=list)
    """One per finished epoch."""

    losses: list[torch.Tensor] = field(default_factory=list)
    """Losses of the steps since the last finished epoch, scalars."""


class TrainingState:
    """Weights, optimizer, moving average of the weights, and those of the best epoch.

    Args:
        trainee: The classifier with its loss.
        optimizer: Of the trainee's parameters.
        average_decay: Decay of the moving average of the classifier's weights; 0 for none.
    """

    def __init__(self, trainee: Trainee, optimizer: torch.optim.Optimizer, average_decay: float) -> None:
        self.trainee = trainee
        self.optimizer = optimizer
        self._average = WeightAverage(trainee.classifier, average_decay) if average_decay else None
        self.best = BestEpoch(trainee.classifier)

    def average(self) -> None:
        """Add the current weights to the average."""
        if self._average:
            self._average.update()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Give the classifier the averaged weights while inside."""
        if not self._average:
            yield
            return
        self._average.exchange()
        try:
            yield
        finally:
            self._average.exchange()

    def finish(self) -> None:
        """Give the classifier the averaged weights for good."""
        if self._average:
            self._average.exchange()

    def restore(self, folder: Path, inputs: str, reporter: Reporter) -> Progress:
        """Restore the newest undamaged checkpoint of the same training; without one, start from the beginning."""

        def say(file: Path) -> None:
            reporter.say(
                f"{file}: is damaged and not used. The training resumes from the checkpoint before it, if there is one."
            )

        found = load_checkpoint(folder, inputs, say)
        if found is None:
            return Progress()
        checkpoint, tensors = found
        self._restore_trainee(_below("trainee.", tensors))
        self._restore_slots(_below("optimizer.", tensors))
        if self._average:
            self._average.restore(_below("average.", tensors))
        self.best.restore(_below("best.", tensors))
        device = next(self.trainee.parameters()).device
        return Progress(checkpoint.steps_done, list(checkpoint.records), list(tensors["losses"].to(device).unbind()))

    def saver(self, folder: Path, inputs: str, context: StageContext) -> Callable[..., None]:
        """Return `save(progress, last=)`, which writes a checkpoint when one is due; only the first process does.

        None is written after the last step, since the stage then writes its own files.
        """
        rhythm = Rhythm(context.recipe.checkpoint_seconds)

        def save(progress: Progress, *, last: bool) -> None:
            if last or not context.processes.first or not rhythm.is_time():
                return
            if first_bad(progress.losses) is not None or not are_finite(self.trainee.state_dict().values()):
                return  # a training that has diverged must not write over a good checkpoint
            state = Checkpoint(progress.steps_done, progress.records)
            rhythm.save(lambda: save_checkpoint(folder, inputs, state, self._tensors(progress)))

        return save

    def _tensors(self, progress: Progress) -> Tensors:
        kept = {f"trainee.{name}": value for name, value in self.trainee.state_dict().items()}
        kept |= {f"optimizer.{name}": value for name, value in self._slots().items()}
        if self._average:
            kept |= {f"average.{name}": value for name, value in self._average.tensors().items()}
        kept |= {f"best.{name}": value for name, value in self.best.tensors().items()}
        losses = torch.stack(progress.losses) if progress.losses else torch.zeros(0)
        return kept | {"losses": losses}

    def _restore_trainee(self, tensors: Tensors) -> None:
        # The trainee's own dictionary has the versions of its modules, which torchvision's MNASNet requires.
        own = self.trainee.state_dict()
        own.update(tensors)
        self.trainee.load_state_dict(own)

    # By hand, as `torch.distributed.checkpoint.state_dict` took 33 ms a save of a MobileNetV3-Small beside 1 ms, and
    # takes a step of the optimizer to restore one: 0.1 s, for a ResNet-50 0.5 s (torch 2.13, one core of an EPYC).
    def _slots(self) -> Tensors:
        """The optimizer's state of each parameter, as `PARAMETER.SLOT`."""
        names = self._names()
        return {
            f"{names[parameter]}.{slot}": value
            for parameter, slots in self.optimizer.state.items()
            for slot, value in slots.items()
        }

    def _restore_slots(self, tensors: Tensors) -> None:
        slots: dict[str, Tensors] = {}
        for key, value in tensors.items():
            name, _, slot = key.rpartition(".")
            slots.setdefault(name, {})[slot] = value
        names = self._names()
        groups = [
            {**group, "params": [names[each] for each in group["params"]]} for group in self.optimizer.param_groups
        ]
        self.optimizer.load_state_dict({"state": slots, "param_groups": groups})

    def _names(self) -> dict[torch.Tensor, str]:
        return {parameter: name for name, parameter in self.trainee.named_parameters()}


def _below(prefix: str, tensors: Tensors) -> Tensors:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
