"""Quantization-aware training: the student continues to learn from its teacher with every rounding in place.

BatchNorm is folded and all roundings are simulated (Jacob et al., 2018, arXiv 1712.05877). The plan itself is trained,
so all formats get the same integers, and nothing is estimated or converted afterwards.
"""

from dataclasses import replace

from torch import fx

from edgetl.data.index import read_index
from edgetl.data.loader import Order
from edgetl.data.views import Views
from edgetl.distill.lesson import open_lesson
from edgetl.distill.settled import FEATURE_LOSSES, losses_of
from edgetl.quantize.plan import Plan
from edgetl.quantize.trainable import TrainablePlan
from edgetl.quantize.widths import paired_width
from edgetl.recipe.fields import Recipe
from edgetl.runs.stage import StageContext
from edgetl.train.balance import balance_of
from edgetl.train.labels import FromLabels
from edgetl.train.loop import Record, Training, fit

__all__ = ["train_aware"]

_CHECKPOINTS = "quantize/qat"
_TITLE = "Quantization-aware training"


def train_aware(context: StageContext, graph: fx.GraphModule, plan: Plan) -> tuple[Plan, list[Record]]:
    """Train a plan on the run's training images; a killed training resumes.

    The loss is that of the distillation, on the teacher's stored answers; without a teacher, that of the labels.

    Args:
        context: The stage's context.
        graph: The graph that the plan belongs to.
        plan: The start; its weights must fit 16-bit sums, so that every format can use them.

    Returns:
        The plan, and one record per epoch.
    """
    network = TrainablePlan(graph, plan, paired_width, learn_steps=False)
    short = replace(context, recipe=_short(context.recipe))
    if context.teachers:
        lesson = open_lesson(replace(context, recipe=_as_distilled(context.recipe)), _CHECKPOINTS)
        lesson.prepare()
        records = replace(lesson, context=short).teach(network, context.recipe.seed, _CHECKPOINTS, _TITLE)
    else:
        records = fit(network, _alone(short), short)
    return network.cpu().finished(), records


def _as_distilled(recipe: Recipe) -> Recipe:
    """The recipe of the distillation, whose answers are stored; pixels are not kept again."""
    return recipe.model_copy(update={"distill": recipe.distill.model_copy(update={"keep_pixels": "never"})})


def _short(recipe: Recipe) -> Recipe:
    """The recipe of this training: few epochs, a small learning rate, no losses on the student's features."""
    asked = losses_of(recipe.distill).weights
    losses = {name: weight for name, weight in asked.items() if name not in FEATURE_LOSSES}
    student = {
        "epochs": recipe.quantize.qat_epochs,
        "learning_rate": recipe.quantize.qat_learning_rate,
        "weight_decay": 0.0,
        "optimizer": "adamw",
        "schedule": "one-cycle",
        "patience": 0,
        "resize_from": 1.0,
        "average_decay": 0.0,
    }
    return recipe.model_copy(
        update={
            "student": recipe.student.model_copy(update=student),
            "distill": recipe.distill.model_copy(update={"loss": losses or {"kd": 1.0}}),
        }
    )


def _alone(context: StageContext) -> Training:
    recipe, index = context.recipe, read_index(context.folder)
    samples, config = index.split("train"), recipe.student
    balance = balance_of(config, index)
    return Training(
        title=_TITLE,
        checkpoints=_CHECKPOINTS,
        section="student",
        config=config,
        index=index,
        samples=samples,
        views=Views(context.contract, recipe.augment, recipe.seed),
        order=Order(
            len(samples), config.batch, recipe.seed, classes=balance.drawn([sample.label for sample in samples])
        ),
        objective=FromLabels(config.label_smoothing, balance.loss_weights),
        epochs=config.epochs,
    )
