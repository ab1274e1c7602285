"""All that a training changes as it goes, how it is kept and how it comes back."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from edgetl.runs.reporter import Reporter
from edgetl.runs.stage import StageContext
from edgetl.train.average import WeightAverage
from edgetl.train.checkpoint import Checkpoint, Rhythm, Tensors, load_checkpoint, save_checkpoint
from edgetl.train.trainee import Trainee

__all__ = ["Progress", "TrainingState"]


@dataclass
class Progress:
    """How far a training is."""

    steps_done: int = 0
    records: list[dict[str, float]] = field(default_factory=list)
    """One per finished epoch."""

    losses: list[torch.Tensor] = field(default_factory=list)
    """Of the steps since then, scalars."""


class TrainingState:
    """Weights, optimizer and the weights' average.

    Args:
        trainee: What is trained.
        optimizer: What trains it.
        average_decay: Of the moving average of the classifier's weights; 0 for none.
    """

    def __init__(self, trainee: Trainee, optimizer: torch.optim.Optimizer, average_decay: float) -> None:
        self.trainee = trainee
        self.optimizer = optimizer
        self._average = WeightAverage(trainee.classifier, average_decay) if average_decay else None

    def average(self) -> None:
        """Count the weights as they are now."""
        if self._average:
            self._average.update()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Let the classifier have the averaged weights while inside."""
        if not self._average:
            yield
            return
        self._average.exchange()
        try:
            yield
        finally:
            self._average.exchange()

    def finish(self) -> None:
        """Let the classifier keep the averaged weights."""
        if self._average:
            self._average.exchange()

    def restore(self, folder: Path, inputs: str, reporter: Reporter) -> Progress:
        """Take up the last good state of the same training; the start, if there is none."""

        def say(file: Path) -> None:
            reporter.say(
                f"{file}: is damaged and passed over; the checkpoint before it takes its place, if there is one."
            )

        found = load_checkpoint(folder, inputs, say)
        if found is None:
            return Progress()
        checkpoint, tensors = found
        self._restore_trainee(_below("trainee.", tensors))
        self._restore_slots(_below("optimizer.", tensors))
        if self._average:
            self._average.restore(_below("average.", tensors))
        device = next(self.trainee.parameters()).device
        return Progress(checkpoint.steps_done, list(checkpoint.records), list(tensors["losses"].to(device).unbind()))

    def saver(self, folder: Path, inputs: str, context: StageContext) -> Callable[..., None]:
        """Give `save(progress, last=)`, which writes a checkpoint if it is time for one; only the first process does.

        After the last step there is nothing to go on with: the stage writes its files next.
        """
        rhythm = Rhythm(context.recipe.checkpoint_seconds)

        def save(progress: Progress, *, last: bool) -> None:
            if last or not context.processes.first or not rhythm.is_time():
                return
            state = Checkpoint(progress.steps_done, progress.records)
            rhythm.save(lambda: save_checkpoint(folder, inputs, state, self._tensors(progress)))

        return save

    def _tensors(self, progress: Progress) -> Tensors:
        kept = {f"trainee.{name}": value for name, value in self.trainee.state_dict().items()}
        kept |= {f"optimizer.{name}": value for name, value in self._slots().items()}
        if self._average:
            kept |= {f"average.{name}": value for name, value in self._average.tensors().items()}
        losses = torch.stack(progress.losses) if progress.losses else torch.zeros(0)
        return kept | {"losses": losses}

    def _restore_trainee(self, tensors: Tensors) -> None:
        # Its own dictionary knows the versions of its modules, for which torchvision's MNASNet asks.
        own = self.trainee.state_dict()
        own.update(tensors)
        self.trainee.load_state_dict(own)

    # By hand, as `torch.distributed.checkpoint.state_dict` took 33 ms a save of a MobileNetV3-Small beside 1 ms, and
    # takes a step of the optimizer to restore one: 0.1 s, for a ResNet-50 0.5 s (torch 2.13, one core of an EPYC).
    def _slots(self) -> Tensors:
        """What the optimizer knows of each parameter, as `PARAMETER.SLOT`."""
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
