"""LoRA: the head is fitted first, then low-rank updates of the matrix products are trained with it (arXiv 2106.09685).

A product `W x` becomes `(W + alpha / rank * B A) x`, where A has `rank` rows and B `rank` columns; alpha is twice the
rank. W, norms and everything else stay as they are. In the end the update is added to W, so what is kept has the
tensors of the plain network.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import torch

from edgetl.errors import ConfigError
from edgetl.recipe.networks import ModelConfig
from edgetl.runs.installed import installed_version
from edgetl.runs.quiet import quiet
from edgetl.train.backbone import Backbone, put_head
from edgetl.train.strategies.features import probed
from edgetl.train.strategies.partial import judged, outcome_of
from edgetl.train.task import Outcome, Task
from edgetl.train.tuning import Tuning, tune
from edgetl.zoo.head import last_layer
from edgetl.zoo.products import matrix_products

__all__ = ["check_products", "learn", "products_of"]

_ALPHA = 2
"""Alpha in units of the rank."""

_RATE = 1e-3
"""AdamW. Low-rank updates start at zero, and stand rates that would spoil the weights themselves."""


def learn(task: Task, backbone: Backbone, products: list[str]) -> Outcome:
    """Fit the head, then train low-rank updates of some matrix products, and add them to the weights."""
    config, contract = task.config, task.context.contract
    champion = probed(task, backbone)
    task.restart()
    put_head(task.classifier, champion.head(task.final))
    rate = _RATE if config.learning_rate == "auto" else config.learning_rate
    tuning = Tuning(0, config.tuning_epochs, rate)
    head = last_layer(task.classifier.net, len(contract.labels))
    assert head is not None
    with _adapted(task, products, head) as updated:
        records = tune(task, backbone, tuning, task.final, "", None)
    reason = f"updates of rank {config.lora_rank} of {len(products)} matrix products were trained, from a fitted head"
    outcome = outcome_of(champion, records, judged(task, backbone, tuning), "lora", reason)
    made_with = {"rank": config.lora_rank, "alpha": _ALPHA * config.lora_rank, "parameters": updated}
    outcome.learned["lora"] = made_with | {"products": products, "peft": installed_version("peft")}
    return outcome


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


@contextmanager
def _adapted(task: Task, products: list[str], head: torch.nn.Module) -> Iterator[int]:
    """Give the network low-rank updates, and add them to its weights in the end; yields the number of trained ones."""
    with task.context.reporter.library("importing libraries"), quiet():
        from peft import LoraConfig, LoraModel

        rank = task.config.lora_rank
        torch.manual_seed(task.seed)
        net = task.classifier.net
        tuner = LoraModel(net, LoraConfig(r=rank, lora_alpha=_ALPHA * rank, target_modules=products), "default")
    for parameter in head.parameters():
        parameter.requires_grad_(True)
    yield sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)
    with quiet():
        tuner.merge_and_unload()
    for parameter in net.parameters():
        parameter.requires_grad_(True)
