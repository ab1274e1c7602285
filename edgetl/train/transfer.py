"""Transfer learning as the recipe asks for it: from a network with pretrained weights to the strategy that fits it."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from edgetl.data.division import validation_origin
from edgetl.data.grid import ViewGrid
from edgetl.data.index import ImageIndex, Sample
from edgetl.data.views import Views
from edgetl.recipe.networks import ModelConfig
from edgetl.runs.disk import free_bytes
from edgetl.runs.stage import StageContext
from edgetl.train.backbone import Backbone, record_backbone
from edgetl.train.folds import folds_of
from edgetl.train.pretraining import look_at_pretraining
from edgetl.train.strategies import auto, features, gradual, lora, partial
from edgetl.train.task import Outcome, Task, Teaching, say_what_is_single
from edgetl.train.training import check_judged
from edgetl.train.tuning import Tuning, epochs_of, rate_of
from edgetl.zoo.classifier import Classifier
from edgetl.zoo.cut import Cut, cut
from edgetl.zoo.stages import NetworkStage, find_stage, stages_of

__all__ = [
    "LEAST_STORED",
    "MOST_IMAGES",
    "first_stage",
    "grid_of",
    "most_views",
    "open_task",
    "storable_views",
    "transfer",
]

MOST_IMAGES = 20_000
"""Images up to which 'auto' starts from a probe; more are enough to train every layer, and their features are large."""

_TRAINED_PART = 0.55
"""Part of the multiplications that is trained, at least, where the recipe leaves it open; before are edges and spots.

With 50 CIFAR images a class at 128 px, two orders of the images each, a MobileNetV2 reached 74.6 % trained from
blocks.2 on (75 % of the multiplications), 74.6 from blocks.3 (62 %), 72.6 from blocks.4 (50 %), 68.9 from blocks.5.
"""

_MOST_CROSSED = 5000
"""Images up to which the validation split is learned from as well, and images are judged by cross-validation."""

_MOST_VIEWS, _ENOUGH_VIEWS = 8, 20_000
"""Augmented views of each image: eight, and fewer where there would be more than 20,000 in all."""

_FOLDS = 4
"""Folds of the probe; those of a trial are two of them each."""

LEAST_STORED = 4
"""Views of an image whose activations are stored; with fewer, each epoch decodes new ones."""

_LARGEST_PART = 0.2
"""Largest fraction of the free space that activations may take."""


def transfer(task: Task, other_way: auto.OtherWay | None = None) -> Outcome:
    """Fit a network in place, by the strategy of its recipe.

    Args:
        task: What is fitted.
        other_way: To teach the same network the same images; 'auto' tries both, and keeps what answers better.

    Raises:
        ModelError: There is no stage of the recipe's name, or the network cannot be divided there.
    """
    say_what_is_single(task)
    config, contract = task.config, task.context.contract
    strategy = config.strategy
    if strategy == "features":
        return features.learn(task, _recorded(task, None))
    if task.crosses:
        check_judged(config, task.section, is_judged=False)
    if strategy == "gradual":
        return gradual.learn(task, _recorded(task, None), epochs_of(task))
    if strategy == "lora":
        products = lora.products_of(task)
        return lora.learn(task, _recorded(task, None), products)
    first = 0 if strategy == "lpft" else first_stage(task.stages, config)
    tuning = Tuning(first, epochs_of(task), rate_of(task))
    at = cut(task.classifier, task.stages, first, contract.height) if first else None
    backbone = _recorded(task, at)
    if strategy == "auto":
        return auto.learn(task, backbone, tuning, other_way)
    return partial.learn(task, backbone, tuning, strategy)


def grid_of(
    index: ImageIndex, context: StageContext, count: int | Literal["auto"] = "auto", *, mixup: float = 0.0
) -> ViewGrid:
    """The views that a network learns from: of training images, those without labels, and validation images.

    Args:
        index: The images.
        context: The stage's context.
        count: Augmented views of each image; 'auto' for eight, and fewer of very many images.
        mixup: Largest share of another image in every second view, as a fraction of 1.
    """
    recipe = context.recipe
    learned, judged = (*index.split("train"), *index.split("unlabelled")), index.split("val")
    images = len(learned) + len(judged)
    crosses = validation_origin(context.folder) != "given" and images <= _MOST_CROSSED
    samples = (*learned, *judged)
    views = Views(context.contract, recipe.augment, recipe.seed)
    if mixup:
        groups = _groups(samples, learned=len(samples) if crosses else len(learned), seed=recipe.seed)
        views = replace(views, mixup=mixup, every_second=True, groups=groups)
    return ViewGrid(
        index,
        samples,
        views,
        most_views(images) if count == "auto" else count,
        evaluation=True,
        augmented=None if crosses else len(learned),
    )


def most_views(images: int, most: int = _MOST_VIEWS) -> int:
    """Augmented views of each image: `most`, and fewer where there would be more than 20,000 in all."""
    return max(1, min(most, _ENOUGH_VIEWS // images))


def _groups(samples: Sequence[Sample], *, learned: int, seed: int) -> tuple[int, ...]:
    """Groups of images that may be mixed: those that fall into the same fold of any cross-validation of the strategies.

    Mixed with an image of another fold, a view would show what the network is judged by.
    """
    labels_N = np.array([sample.label for sample in samples])
    groups_N = np.where(np.arange(len(samples)) < learned, _FOLDS, _FOLDS + 1)
    known_N = np.flatnonzero((labels_N >= 0) & (groups_N == _FOLDS))
    folds = folds_of(labels_N[known_N].tolist(), min(_FOLDS, len(known_N)), seed=seed) if len(known_N) > 1 else []
    for number, (_, judged) in enumerate(folds):
        groups_N[known_N[judged]] = number
    return tuple(groups_N.tolist())


def open_task(
    classifier: Classifier,
    grid: ViewGrid,
    teaching: Teaching,
    context: StageContext,
    *,
    section: Literal["teacher", "student"],
    title: str,
    name: str,
    seed: int,
) -> Task:
    """Put together what a strategy needs.

    Args:
        classifier: With its pretrained weights.
        grid: The images, from `grid_of`.
        teaching: Where the right answers come from.
        context: The stage's context.
        section: Section of the recipe that says how it is fitted.
        title: Shown with the progress.
        name: Name of the checkpoint folder.
        seed: Seeds folds and the order of images.
    """
    recipe, contract = context.recipe, context.contract
    return Task(
        title=title,
        name=name,
        section=section,
        config=recipe.teacher if section == "teacher" else recipe.student,
        context=context,
        classifier=classifier.eval(),
        stages=stages_of(classifier, len(contract.labels), contract.height),
        grid=grid,
        learned=sum(sample.split != "val" for sample in grid.samples),
        crosses=grid.augmented is None,
        teaching=teaching,
        seed=seed,
        initial={key: value.clone() for key, value in classifier.state_dict().items()},
    )


def first_stage(stages: Sequence[NetworkStage], config: ModelConfig) -> int:
    """Position of the first stage that is trained."""
    if config.train_from != "auto":
        return find_stage(stages, config.train_from, config.model)
    costs = [stage.multiply_adds for stage in stages]
    least = _TRAINED_PART * sum(costs)
    enough = [sum(costs[first:]) >= least for first in range(len(costs))]
    return max(first for first, is_enough in enumerate(enough) if is_enough)


def _recorded(task: Task, at: Cut | None) -> Backbone:
    """Features of all views, and activations if they are worth their space."""
    if at and not _is_stored(task, at):
        at = None
    backbone = record_backbone(
        task.classifier, task.grid, at, task.context, section=task.section, checkpoints=task.name
    )
    pretraining = look_at_pretraining(task, backbone.features_RND[0])
    return replace(backbone, pretraining=pretraining)


def _is_stored(task: Task, at: Cut) -> bool:
    """Whether there are enough views to learn from, none is to be mixed, and what is said of them fits on the disk."""
    context, grid = task.context, task.grid
    if task.teaching.by_labels and context.recipe.augment.mixes:
        return False
    fits = grid.view_count <= storable_views(at, len(grid.samples), context)
    return grid.view_count >= LEAST_STORED and bool(context.processes.agree(fits))


def storable_views(at: Cut, images: int, context: StageContext) -> int:
    """Augmented views of each image whose activations fit on the disk, beside those of the plain images."""
    row_bytes = 2 * math.prod(at.activation_shape) * images
    return int(_LARGEST_PART * free_bytes(context.folder.path) / row_bytes) - 1
