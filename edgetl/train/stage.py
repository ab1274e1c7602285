"""Fine-tune one network on true labels: how a teacher is made."""

import time

from edgetl.data.dataset import ViewDataset
from edgetl.data.index import ImageIndex, read_index
from edgetl.data.loader import Order, worker_count
from edgetl.data.views import Views
from edgetl.errors import ConfigError
from edgetl.runs.stage import StageContext, StageResult
from edgetl.train.backbone import is_linear
from edgetl.train.balance import Balance, balance_of, say_balance
from edgetl.train.estimate import decoding_seconds, training_seconds
from edgetl.train.in_time import Teachers, in_time, subject_of
from edgetl.train.labels import FromLabels
from edgetl.train.loop import Training, fit
from edgetl.train.memory import kept_memory
from edgetl.train.task import LabelTeaching, Outcome
from edgetl.train.trained import write_trained
from edgetl.train.transfer import MOST_IMAGES, grid_of, open_task, transfer
from edgetl.zoo.build import build_classifier
from edgetl.zoo.classifier import Classifier

__all__ = ["run", "training_in_full", "why_full"]


def run(context: StageContext) -> StageResult:
    """Train `recipe.teacher` on the run's data; writes `model.safetensors` and `metrics.jsonl`."""
    start, recipe, contract, config = time.perf_counter(), context.recipe, context.contract, context.recipe.teacher
    index = read_index(context.folder)
    classes = len(contract.labels)
    _check_mixing(context)
    balance = balance_of(config, index)
    if (uneven := say_balance(balance, config, index, "teacher")) and context.processes.first:
        context.reporter.say(uneven)
    with context.reporter.library("building the model"):
        classifier, model = build_classifier(config, classes, contract.height, seed=recipe.seed)
    why = why_full(classifier, index, context)
    subject = subject_of(classifier, config, "full" if why else config.strategy, index, context)
    context, plan = in_time(subject, context, "teacher", Teachers(), time.perf_counter() - start)
    if why:
        outcome = _trained_in_full(classifier, index, context, why, balance)
    else:
        teaching = LabelTeaching(config.label_smoothing, balance)
        title = f"Fine-tuning {config.model}"
        grid = grid_of(index, context, context.recipe.teacher.views)
        task = open_task(
            classifier, grid, teaching, context, section="teacher", title=title, name="finetune", seed=recipe.seed
        )
        outcome = transfer(task)
    if context.processes.first:
        context.reporter.say(f"Chosen: {outcome.learned['strategy']}, since {outcome.learned['reason']}.")
    return write_trained(classifier, model, outcome, index, context, balance=balance, plan=plan)


def _check_mixing(context: StageContext) -> None:
    """Refuse to mix images where none is trained on.

    Raises:
        ConfigError: Only a head is fitted, on stored features.
    """
    augment = context.recipe.augment
    if augment.mixes and context.recipe.teacher.strategy == "features":
        field = "augment.mixup" if augment.mixup else "augment.cutmix"
        hint = "Set it to 0, or choose another strategy, such as partial."
        raise ConfigError(
            field, "no image is trained on with teacher.strategy=features, so none can be mixed", hint=hint
        )


def why_full(classifier: Classifier, index: ImageIndex, context: StageContext) -> str:
    """Why the whole network is trained from the start, with a new head; empty if it is not."""
    config, contract = context.recipe.teacher, context.contract
    if config.strategy == "full":
        return "the recipe asks for it"
    if config.weights == "none" and config.strategy == "auto":
        return "there are no pretrained weights to keep"
    if config.strategy == "auto" and len(index.split("train")) > MOST_IMAGES:
        return "there are images enough to train every layer"
    if config.strategy == "auto" and not is_linear(classifier, len(contract.labels), contract.height):
        return "the network's answers are no linear function of its features"
    return ""


def training_in_full(index: ImageIndex, context: StageContext, balance: Balance) -> Training:
    """The training of a whole network with a new head."""
    recipe, config = context.recipe, context.recipe.teacher
    samples = index.split("train")
    return Training(
        title=f"Fine-tuning {config.model}",
        checkpoints="finetune",
        section="teacher",
        config=config,
        index=index,
        samples=samples,
        views=Views(context.contract, recipe.augment, recipe.seed).for_labels(),
        order=Order(
            len(samples), config.batch, recipe.seed, classes=balance.drawn([sample.label for sample in samples])
        ),
        objective=FromLabels(config.label_smoothing, balance.loss_weights),
        epochs=config.epochs,
    )


def _trained_in_full(
    classifier: Classifier, index: ImageIndex, context: StageContext, why: str, balance: Balance
) -> Outcome:
    training = training_in_full(index, context, balance)
    if context.processes.first:
        _say_what_to_expect(classifier, training, context)
    records = fit(classifier, training, context)
    return Outcome.in_full(records, len(index.split("val")), why)


def _say_what_to_expect(classifier: Classifier, training: Training, context: StageContext) -> None:
    with context.reporter.library("estimating the time"), kept_memory():
        dataset = ViewDataset(training.index, training.samples, training.views)
        decoding_s = decoding_seconds(dataset, worker_count(training.index, context.recipe.data.workers))
        seconds = training_seconds(
            classifier,
            training.config,
            training.order,
            side=context.contract.height,
            processes=context.processes.count,
            decoding_s=decoding_s,
        )
    context.reporter.expect(seconds)
