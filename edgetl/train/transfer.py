"""Transfer learning as the recipe asks for it: from a network with pretrained weights to the strategy that fits it."""

import math

from edgetl.data.division import validation_origin
from edgetl.data.grid import ViewGrid
from edgetl.data.index import ImageIndex
from edgetl.data.views import Views
from edgetl.recipe.fields import TeacherConfig
from edgetl.runs.disk import free_bytes
from edgetl.runs.stage import StageContext
from edgetl.train.backbone import Backbone, record_backbone
from edgetl.train.strategies import auto, features, gradual, partial
from edgetl.train.task import LabelTeaching, Outcome, Task
from edgetl.train.tuning import Tuning, rate_of
from edgetl.zoo.classifier import Classifier
from edgetl.zoo.cut import Cut, cut
from edgetl.zoo.stages import find_stage, stages_of

__all__ = ["open_task", "transfer"]

_TRAINED_PART = 0.65
"""Part of the multiplications that is trained where the recipe leaves it open; before it are edges and spots."""

_MOST_CROSSED = 5000
"""Images up to which the validation split is learned from as well, and images are judged by cross-validation."""

_MOST_VIEWS, _ENOUGH_VIEWS = 8, 20_000
"""Augmented views of each image: eight, and fewer where there would be more than 20,000 in all."""

_LEAST_STORED = 4
"""Views of an image whose activations are stored; with fewer, each epoch decodes new ones."""

_LARGEST_PART = 0.2
"""Largest fraction of the free space that activations may take."""


def transfer(task: Task) -> Outcome:
    """Fit a network in place, by the strategy of `task.config`.

    Raises:
        ModelError: There is no stage of the recipe's name, or the network cannot be divided there.
    """
    config, contract = task.config, task.context.contract
    assert isinstance(config, TeacherConfig)
    strategy = config.strategy
    if strategy == "features":
        return features.learn(task, _recorded(task, None))
    if strategy == "gradual":
        return gradual.learn(task, _recorded(task, None), config.tuning_epochs)
    first = 0 if strategy == "lpft" else _first_stage(task, config)
    tuning = Tuning(first, config.tuning_epochs, rate_of(task))
    at = cut(task.classifier, task.stages, first, contract.height) if first else None
    backbone = _recorded(task, at)
    if strategy == "auto":
        return auto.learn(task, backbone, tuning)
    return partial.learn(task, backbone, tuning, strategy)


def open_task(
    classifier: Classifier, config: TeacherConfig, index: ImageIndex, context: StageContext, *, title: str, name: str
) -> Task:
    """Put together what a strategy needs.

    Args:
        classifier: With its pretrained weights.
        config: How it is fitted.
        index: The images.
        context: The stage's context.
        title: Shown with the progress.
        name: Name of the checkpoint folder.
    """
    recipe, contract = context.recipe, context.contract
    learned, judged = index.split("train"), index.split("val")
    images = len(learned) + len(judged)
    crosses = validation_origin(context.folder) != "given" and images <= _MOST_CROSSED
    views = max(1, min(_MOST_VIEWS, _ENOUGH_VIEWS // images))
    grid = ViewGrid(
        index,
        (*learned, *judged),
        Views(contract, recipe.augment, recipe.seed),
        views,
        evaluation=True,
        augmented=None if crosses else len(learned),
    )
    return Task(
        title=title,
        name=name,
        section="teacher",
        config=config,
        context=context,
        classifier=classifier.eval(),
        stages=stages_of(classifier, len(contract.labels), contract.height),
        grid=grid,
        learned=len(learned),
        crosses=crosses,
        teaching=LabelTeaching(config.label_smoothing),
        seed=recipe.seed,
        initial={key: value.clone() for key, value in classifier.state_dict().items()},
    )


def _first_stage(task: Task, config: TeacherConfig) -> int:
    """Position of the first stage that is trained."""
    if config.train_from != "auto":
        return find_stage(task.stages, config.train_from, config.model)
    costs = [stage.multiply_adds for stage in task.stages]
    enough = [sum(costs[first:]) >= _TRAINED_PART * sum(costs) for first in range(len(costs))]
    return max(first for first, is_enough in enumerate(enough) if is_enough)


def _recorded(task: Task, at: Cut | None) -> Backbone:
    """Features of all views, and activations if they are worth their space."""
    if at and not _is_stored(task, at):
        at = None
    return record_backbone(task.classifier, task.grid, at, task.context, section=task.section, checkpoints=task.name)


def _is_stored(task: Task, at: Cut) -> bool:
    """Whether there are enough views to learn from, and what is said of them fits on the disk."""
    context, grid = task.context, task.grid
    size_bytes = 2 * math.prod(at.activation_shape) * grid.rows * len(grid.samples)
    fits = size_bytes <= _LARGEST_PART * free_bytes(context.folder.path)
    return grid.view_count >= _LEAST_STORED and bool(context.processes.agree(fits))
