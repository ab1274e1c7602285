"""Find a learning rate for the training that a recipe would start: the same network, part of it, and images."""

from edgetl.data.index import read_index
from edgetl.errors import ConfigError
from edgetl.runs.stage import StageContext
from edgetl.train.backbone import record_backbone
from edgetl.train.balance import balance_of
from edgetl.train.range_test import RangeTest, swept
from edgetl.train.stage import training_in_full, why_full
from edgetl.train.strategies.features import probed
from edgetl.train.strategies.gradual import DECAY
from edgetl.train.strategies.lora import products_of, updated
from edgetl.train.task import LabelTeaching
from edgetl.train.transfer import first_stage, grid_of, open_task
from edgetl.train.tuning import Tuning, prepared
from edgetl.zoo.build import build_classifier
from edgetl.zoo.classifier import Classifier

__all__ = ["find_rate"]


def find_rate(context: StageContext) -> RangeTest:
    """Test the learning rates of `recipe.teacher`; only features are written, which its training will find.

    Raises:
        ConfigError: The strategy has no learning rate, as it fits a head alone.
    """
    recipe, contract, config = context.recipe, context.contract, context.recipe.teacher
    if config.strategy == "features":
        hint = "It is for all other strategies."
        raise ConfigError("--find-rate", "strategy 'features' fits a head without a learning rate", hint=hint)
    index = read_index(context.folder)
    classifier, _ = build_classifier(config, len(contract.labels), contract.height, seed=recipe.seed)
    if why_full(classifier, index, context):
        return swept(classifier, training_in_full(index, context, balance_of(config, index)), context)
    return _from_head(classifier, context)


def _from_head(classifier: Classifier, context: StageContext) -> RangeTest:
    """Test from a head that fits the plain images and one view of each, which is close to that of all views."""
    config, index = context.recipe.teacher, read_index(context.folder)
    task = open_task(
        classifier,
        grid_of(index, context, 1),
        LabelTeaching(config.label_smoothing, balance_of(config, index)),
        context,
        section="teacher",
        title="",
        name="find-rate",
        seed=context.recipe.seed,
    )
    first = first_stage(task.stages, config) if config.strategy in ("auto", "partial") else 0
    tuning = Tuning(first, 1, 0.0, DECAY if config.strategy == "gradual" else 1.0)
    backbone = record_backbone(classifier, task.grid, None, context, section="teacher", checkpoints=task.name)
    champion = probed(task, backbone)
    head = champion.head(task.final)
    if config.strategy == "lora":
        products = products_of(task)
        with (
            updated(task, head, products),
            prepared(task, backbone, tuning, task.final, "", None) as (network, training),
        ):
            return swept(network, training, context)
    with prepared(task, backbone, tuning, task.final, "", head) as (network, training):
        return swept(network, training, context)
