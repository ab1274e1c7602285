"""LoRA: the head is fitted first, then low-rank updates of the matrix products are trained with it (arXiv 2106.09685).

A product `W x` becomes `(W + alpha / rank * B A) x`, where A has `rank` rows and B `rank` columns; alpha is twice the
rank. W, norms and everything else stay as they are. In the end the update is added to W, so what is kept has the
tensors of the plain network.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from edgetl.errors import ConfigError
from edgetl.recipe.networks import ModelConfig
from edgetl.runs.installed import installed_version
from edgetl.train.adapters import ALPHA, adapted
from edgetl.train.backbone import Backbone, put_head
from edgetl.train.fitted_head import Head
from edgetl.train.strategies.features import probed
from edgetl.train.strategies.partial import judged, outcome_of
from edgetl.train.task import Outcome, Task
from edgetl.train.tuning import Tuning, epochs_of, rate_of, tune
from edgetl.zoo.head import head_of
from edgetl.zoo.products import matrix_products

__all__ = ["check_products", "learn", "products_of", "updated"]

_FASTER = 10 / 3
"""Low-rank updates start at zero, and stand rates that would spoil the weights themselves."""


def learn(task: Task, backbone: Backbone, products: list[str]) -> Outcome:
    """Fit the head, then train low-rank updates of some matrix products, and add them to the weights."""
    config = task.config
    champion = probed(task, backbone)
    rate = rate_of(task) * (_FASTER if config.learning_rate == "auto" else 1)
    tuning = Tuning(0, epochs_of(task), rate)
    with updated(task, champion.final_head, products) as trained:
        records = tune(task, backbone, tuning, task.final, "", None)
    reason = f"updates of rank {config.lora_rank} of {len(products)} matrix products were trained, from a fitted head"
    outcome = outcome_of(champion, records, judged(task, backbone, tuning), "lora", reason)
    made_with = {"rank": config.lora_rank, "alpha": ALPHA * config.lora_rank, "parameters": trained}
    outcome.learned["lora"] = made_with | {"products": products, "peft": installed_version("peft")}
    return outcome


@contextmanager
def updated(task: Task, head: Head, products: list[str]) -> Iterator[int]:
    """Give a task's network a fitted head, and updates that alone are trained with it; yields their parameters."""
    task.restart()
    put_head(task.classifier, head)
    head_layer = head_of(task.classifier.net, len(task.context.contract.labels))
    assert head_layer is not None
    with adapted(task.classifier.net, products, head_layer, rank=task.config.lora_rank, seed=task.seed) as trained:
        yield trained


def products_of(task: Task) -> list[str]:
    """The matrix products of a task's network.

    Raises:
        ConfigError: There are none.
    """
    contract = task.context.contract
    found = matrix_products(task.classifier, len(contract.labels), contract.height)
    check_products(found, task.config, task.section)
    return found


def check_products(products: Collection[str], config: ModelConfig, section: str) -> None:
    """Make sure that a network has matrix products.

    Raises:
        ConfigError: It has none.
    """
    if not products:
        problem = f"{config.model} has no matrix products besides its head, which 'lora' could update"
        hint = "Use 'partial', which trains the last stages, or 'auto', which tries whether that helps."
        raise ConfigError(f"{section}.strategy", problem, hint=hint)
