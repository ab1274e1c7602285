"""Features: the network stays as it is, and the best head for its features is fitted."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgetl.train.backbone import Backbone, put_head
from edgetl.train.fitted_head import Head, logits_of
from edgetl.train.hidden import HiddenFit
from edgetl.train.pretraining import Pretraining
from edgetl.train.probe import Examples, Probe, fit_probe, refit
from edgetl.train.task import Outcome, Task

__all__ = ["Champion", "learn", "probed"]

_FOLDS = 4


@dataclass(frozen=True)
class Champion:
    """The probe of a task: what everything else has to beat."""

    task: Task
    examples: Examples
    probe: Probe
    pretraining: Pretraining | None = None
    """What the pretrained weights gave beside random ones."""

    def head(self, learn_N: NDArray[np.int64]) -> Head:
        """The probe's head, fitted on some images."""
        return refit(self.examples, self.probe, learn_N)

    def right(self, head: Head, judge_N: NDArray[np.int64], rows: Sequence[int]) -> NDArray[np.bool_]:
        """Whether a head is right about some rows of views of some images, `(R, N)`."""
        features_RND = self.examples.features_RND
        labels_N = self.examples.labels_N[judge_N]
        return np.stack([logits_of(head, features_RND[row, judge_N]).argmax(1) == labels_N for row in rows])

    @cached_property
    def final_head(self) -> Head:
        """The probe's head, fitted on all images that may be learned from."""
        return self.head(self.task.final)

    def put(self) -> None:
        """Give the network its pretrained weights, and this head."""
        self.task.restart()
        put_head(self.task.classifier, self.final_head)

    def outcome(self, reason: str) -> Outcome:
        """Keep the probe."""
        self.put()
        probe, top1 = self.probe, self.task.teaching.counted(self.probe.top1)
        record = {"epoch": 1, "loss": probe.loss, "val_top1": top1, "val_loss": probe.loss}
        return Outcome([record], top1, len(probe.right_N), self.learned("features", reason), self.put)

    def learned(self, strategy: str, reason: str) -> dict[str, object]:
        """The entry of the manifest."""
        probe = self.probe
        top1 = self.task.teaching.counted(probe.top1)
        found = {"head": probe.kind, "views": probe.views, "val_top1": top1, "val_images": len(probe.right_N)}
        if probe.hidden:
            found |= {"hidden_units": probe.hidden.units, "hidden_epochs": probe.epochs}
        beside = self.pretraining.figures() if self.pretraining else {}
        return {"strategy": strategy, "reason": reason, "probe": found | beside}


def probed(task: Task, backbone: Backbone) -> Champion:
    """Fit the probe, and say how well it answers."""
    classes = len(task.context.contract.labels)
    targets_RNK = task.teaching.targets(task.grid, classes)
    weights_N = task.teaching.balance.weights_of(task.labels)
    examples = Examples(backbone.features_RND, targets_RNK, task.labels, weights_N)
    processes = task.context.processes
    with task.context.reporter.library("fitting the head"):
        # Heads of two processes could differ in the last digit, and then their networks would drift apart.
        hidden = HiddenFit.of(task.config, task.seed)
        probe: Probe = processes.agree(fit_probe(examples, task.folds(_FOLDS), hidden) if processes.first else None)
    return Champion(task, examples, probe, backbone.pretraining)


def learn(task: Task, backbone: Backbone) -> Outcome:
    """Fit the best head to the features of the frozen network."""
    champion = probed(task, backbone)
    return champion.outcome(f"the head is a {champion.probe.sentence()}")
