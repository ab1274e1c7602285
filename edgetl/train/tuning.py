"""Train the last stages of a network whose head is fitted already, with what the frozen stages say of the views.

The head fits the features, so no step is wasted on a random one, whose gradients would spoil pretrained filters (LP-FT,
Kumar et al., arXiv 2202.10054). Batch norms keep their statistics: those of a few images are worse.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgetl.data.loader import Order
from edgetl.recipe.networks import ModelConfig
from edgetl.runs.files import write_atomic
from edgetl.train.backbone import Backbone, put_head
from edgetl.train.evaluation import evaluate
from edgetl.train.fitted_head import Head
from edgetl.train.loop import Record, Training, fit
from edgetl.train.optimizer import tuning_learning_rate
from edgetl.train.task import Task

__all__ = ["Tuning", "batch_of", "epochs_of", "judged_rows", "prepared", "rate_of", "right_of", "tried", "tune"]

_BATCH = 16
_FEW, _FEW_BATCH = 1000, 16
"""Images below which a step takes 16 of them where the recipe leaves it open, since 32 would be too few steps.

With 50 CIFAR images a class, three cuts, a MobileNetV2 reached 73.9 % instead of 72.8; trained on half of the images,
it was better than its head by 3.4 points of their views instead of 1.8, and so was more often seen to be better.
"""

_WORST = 1e-2


@dataclass(frozen=True)
class Tuning:
    """Which stages are trained, and how long."""

    first: int
    """Position of the first stage that is trained; 0 trains all."""

    epochs: int
    rate: float
    """Highest learning rate."""

    decay: float = 1.0
    """Factor of the learning rate from one stage to the one before it."""


def rate_of(task: Task) -> float:
    """The recipe's learning rate; 'auto' is one that suits a fitted head."""
    return tuning_learning_rate(task.config)


def epochs_of(task: Task) -> int:
    """The recipe's epochs from a fitted head; 'auto' depends on who teaches."""
    return task.config.epochs_from_head(taught=not task.teaching.by_labels)


def tune(
    task: Task, backbone: Backbone, tuning: Tuning, learn_N: NDArray[np.int64], name: str, head: Head | None
) -> list[Record]:
    """Train in place; returns one record per epoch. The arguments are those of `prepared`."""
    with prepared(task, backbone, tuning, learn_N, name, head) as (network, training):
        return fit(network, training, task.context)


def batch_of(config: ModelConfig, images: int) -> int:
    """Images of a step from a fitted head, of so many that are learned from in the end."""
    return _FEW_BATCH if config.batch_size == "auto" and images < _FEW else config.batch


@contextmanager
def prepared(
    task: Task, backbone: Backbone, tuning: Tuning, learn_N: NDArray[np.int64], name: str, head: Head | None
) -> Iterator[tuple[nn.Module, Training]]:
    """What is trained, with all else frozen while inside, and how.

    Args:
        task: The network and its images.
        backbone: What the pretrained network said; its activations are used if they were taken before the first stage.
        tuning: What to train.
        learn_N: Positions of the images to learn from.
        name: Name of this training among those of the task.
        head: The head to start from, with the initial weights; None to go on with the network as it is.
    """
    if head:
        task.restart()
        put_head(task.classifier, head)
    whole = np.array_equal(learn_N, np.arange(task.learned)) and not task.crosses
    network, activations = _part(task, backbone, tuning)
    stored = None if activations is None else activations[1:]
    frozen = _frozen(task, tuning.first)
    for parameter in frozen:
        parameter.requires_grad_(False)
    config = task.config.model_copy(update={"resize_from": 1.0, "batch_size": batch_of(task.config, len(task.final))})
    training = Training(
        title=f"{task.title}{name and f', {name}'}",
        checkpoints=f"{task.name}/{name.replace(' ', '-') or 'training'}",
        section=task.section,
        config=config,
        index=task.grid.index,
        samples=task.grid.samples,
        views=task.grid.views.for_labels() if stored is None and task.teaching.by_labels else task.grid.views,
        order=Order(
            len(learn_N),
            config.batch,
            task.seed,
            view_count=None if stored is None and task.teaching.by_labels else task.grid.view_count,
            vary_repeats=stored is None,
            chosen=tuple(learn_N.tolist()),
            classes=task.teaching.balance.drawn(task.labels[learn_N].tolist()) if task.teaching.by_labels else None,
        ),
        objective=task.teaching.objective(),
        epochs=tuning.epochs,
        stored=stored,
        peak=tuning.rate,
        keep_norms=True,
        is_judged=whole and stored is None,
        rates=_rates(task, tuning),
        whole=task.classifier,
    )
    try:
        yield network, training
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
        task.classifier.to("cpu").eval()


def judged_rows(task: Task, backbone: Backbone, tuning: Tuning) -> list[int]:
    """Rows of the grid by which images are judged: the plain one, and the augmented ones if they are stored.

    All views of an image say more about a network than the plain one: with 250 CIFAR images and nine views, the
    standard error of a difference was 1.7 points instead of 2.8. A view with another image in it says something else.
    """
    grid = task.grid
    if not task.crosses or _part(task, backbone, tuning)[1] is None:
        return [0]
    return [row for row in range(grid.rows) if not grid.views.is_mixed(grid.view_of(row))]


def right_of(task: Task, backbone: Backbone, tuning: Tuning, judge_N: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the network, trained as given, is right about some images, `(R, N)` for the judged rows."""
    network, activations = _part(task, backbone, tuning)
    if activations is None:
        samples = [task.grid.samples[position] for position in judge_N]
        return evaluate(task.classifier, task.grid.index, samples, task.context, torch.device("cpu")).right_N[None]
    rows = judged_rows(task, backbone, tuning)
    right_RN = np.empty((len(rows), len(judge_N)), np.bool_)
    network.eval()
    for place, row in enumerate(rows):
        for start in range(0, len(judge_N), _BATCH):
            some_N = judge_N[start : start + _BATCH]
            with torch.inference_mode():
                logits_NK = network(torch.from_numpy(activations[row, some_N]))
            right_RN[place, start : start + _BATCH] = logits_NK.argmax(1).numpy() == task.labels[some_N]
    return right_RN


def tried(
    task: Task,
    backbone: Backbone,
    tuning: Tuning,
    fold: tuple[NDArray[np.int64], NDArray[np.int64]],
    name: str,
    head: Head,
) -> NDArray[np.bool_]:
    """Train on one part of the images; returns whether the network is right about the other part, as `right_of`.

    The result is noted, so that a killed stage goes on with the next fold.
    """
    context = task.context
    note = context.folder.checkpoint_dir(f"{task.name}/{name.replace(' ', '-')}") / "right.json"
    known: list[list[bool]] | None = None
    if context.processes.first and note.is_file():
        stated = json.loads(note.read_bytes())
        known = stated["right"] if stated["inputs"] == context.inputs else None
    known = context.processes.agree(known)
    if known is None:
        tune(task, backbone, tuning, fold[0], name, head)
        known = right_of(task, backbone, tuning, fold[1]).tolist()
        if context.processes.first:
            note.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(note, json.dumps({"inputs": context.inputs, "right": known}))
    return np.array(known, np.bool_)


def _part(task: Task, backbone: Backbone, tuning: Tuning) -> tuple[nn.Module, NDArray[np.float16] | None]:
    """The part of the network that is run, and what it is run on; the whole one, on images, if nothing was taken."""
    if tuning.first and backbone.cut and backbone.cut.last == task.stages[tuning.first - 1].modules[-1]:
        return backbone.cut.tail, backbone.activations
    return task.classifier, None


def _frozen(task: Task, first: int) -> list[nn.Parameter]:
    net = task.classifier.net
    modules = [net.get_submodule(name) for stage in task.stages[:first] for name in stage.modules]
    own = list(net.parameters(recurse=False)) if first else []
    return own + [parameter for module in modules for parameter in module.parameters()]


def _rates(task: Task, tuning: Tuning) -> dict[int, float]:
    """Factors of the learning rate, by the parameter's identity."""
    if tuning.decay == 1.0:
        return {}
    net, last = task.classifier.net, len(task.stages)
    return {
        id(parameter): max(_WORST, tuning.decay ** (last - position))
        for position, stage in enumerate(task.stages)
        for name in stage.modules
        for parameter in net.get_submodule(name).parameters()
    }
