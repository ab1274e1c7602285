"""Which epoch's weights are kept: an earlier one's instead of the last's only if they are better by more than luck."""

import math
from collections.abc import Sequence

import torch

from edgetl.train.evaluation import Score
from edgetl.train.luck import errors_of_best, is_better

__all__ = ["BestEpoch", "is_stalled", "kept_record"]

Record = dict[str, float]
Tensors = dict[str, torch.Tensor]


class BestEpoch:
    """The weights of the epoch that was right most often on the validation images so far; of equals, of the least loss.

    The last epoch is what the schedule leads to, and the best of many is in part the luckiest. An earlier one is kept
    only if it is right more often by a sign test, whose level is divided by the number of epochs that it was the best
    of (Bonferroni; Dunn, 1961). A training that was stopped early has no such last epoch: there the best is kept
    outright, as is usual (Prechelt, 1998). Where nothing judges, the last epoch is the best that is known.

    Args:
        network: Whose weights are kept; its tensors are written over, never replaced.
    """

    def __init__(self, network: torch.nn.Module) -> None:
        self._current = network.state_dict()
        """The network's own tensors."""

        self._kept: Tensors = {}
        self._best: Score | None = None
        self._last: Score | None = None
        self.epoch = 0
        """Number of that epoch, from 1; 0 before the first has ended."""

    def offer(self, epoch: int, score: Score | None) -> None:
        """Keep a copy of the network as it is now, if it is the best so far.

        Args:
            epoch: Its number, from 1.
            score: On the validation images; None if nothing judges.
        """
        self._last = score
        if score and not math.isfinite(score.loss):
            return
        if not (self._best and score) or _rank(score) >= _rank(self._best):
            self.epoch, self._best = epoch, score
            self._kept = {name: value.detach().to("cpu", copy=True) for name, value in self._current.items()}

    def wins(self, epochs: int, *, stopped: bool) -> bool:
        """Whether this epoch is kept instead of the last one.

        Args:
            epochs: Epochs that have ended; the last of them was offered.
            stopped: Whether the training was stopped before the end of its schedule.
        """
        if self.epoch == epochs:
            return False
        best, last = self._best, self._last
        assert best
        assert last
        errors = errors_of_best(epochs - 1)
        return stopped or not math.isfinite(last.loss) or is_better(best.right_N, last.right_N, standard_errors=errors)

    def put_back(self) -> None:
        """Give the network this epoch's weights."""
        with torch.no_grad():
            for name, value in self._current.items():
                value.copy_(self._kept[name])

    def tensors(self) -> Tensors:
        """All that a checkpoint needs."""
        if not self.epoch:
            return {}
        kept = {f"weights.{name}": value for name, value in self._kept.items()} | {"epoch": torch.tensor(self.epoch)}
        if self._best:
            kept["right"] = torch.from_numpy(self._best.right_N)
            kept["loss"] = torch.tensor(self._best.loss, dtype=torch.float64)
        return kept

    def restore(self, tensors: Tensors) -> None:
        """Go on from what `tensors` gave."""
        if tensors:
            self.epoch = int(tensors["epoch"])
            self._best = Score(tensors["right"].numpy(), float(tensors["loss"])) if "right" in tensors else None
            self._kept = {name: tensors[f"weights.{name}"] for name in self._current}


def _rank(score: Score) -> tuple[int, float]:
    return int(score.right_N.sum()), -score.loss


def is_stalled(records: Sequence[Record], patience: int) -> bool:
    """Whether neither top-1 nor loss on the validation images has been better than before for some epochs.

    Args:
        records: One per epoch, with `val_top1` and `val_loss`.
        patience: Epochs; 0 for never.
    """
    before, since = records[:-patience], records[-patience:]
    if not patience or not before:
        return False
    top1, loss = max(each["val_top1"] for each in before), min(each["val_loss"] for each in before)
    return not any(each["val_top1"] > top1 or each["val_loss"] < loss for each in since)


def kept_record(records: Sequence[Record]) -> Record | None:
    """The record of the epoch whose weights a training kept; None if nothing was trained."""
    return next((record for record in reversed(records) if record.get("kept")), None)
