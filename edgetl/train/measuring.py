"""The seconds of one image in each kind of work, measured on a few batches before a training starts.

Each is that of its fastest run, so that they hold for a machine that does nothing else. The networks stay as they are.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn
from torch.nn.functional import log_softmax

from edgetl.data.dataset import ViewDataset
from edgetl.data.index import ImageIndex, Sample
from edgetl.data.loader import Order, worker_count
from edgetl.data.views import Views
from edgetl.devices.facts import machine
from edgetl.recipe.networks import ModelConfig, Strategy
from edgetl.runner.contract import Contract
from edgetl.runs.stage import StageContext
from edgetl.train.adapters import adapted
from edgetl.train.costs import Costs, HeadCosts, piped
from edgetl.train.estimate import PROBE_IMAGES, training_seconds
from edgetl.train.fitted_head import Head
from edgetl.train.hidden import HiddenFit, fitted_heads
from edgetl.train.memory import kept_memory
from edgetl.train.strategies.lora import check_products
from edgetl.train.transfer import first_stage, storable_views
from edgetl.train.tuning import batch_of
from edgetl.zoo.classifier import Classifier
from edgetl.zoo.cut import Cut, cut
from edgetl.zoo.folding import folded_norms
from edgetl.zoo.head import FeatureTap, head_of
from edgetl.zoo.products import matrix_products
from edgetl.zoo.stages import stages_of

__all__ = ["Subject", "answering_seconds", "measured", "typical_seconds"]

_LEAST_S, _ENOUGH_S = 0.3, 2.0
_LEAST_RUNS, _MOST_RUNS = 3, 8
"""Work is timed for 0.3 s and three runs at least; 2 s or eight runs are enough."""

_LONG_S = 0.2
"""Of a forward pass; a network that takes longer is timed on fewer images."""

_LEAST_IMAGES = 4
_HEAD_WIDTH, _HEAD_SAMPLES = 512, 1024
"""Features whose covariance is decomposed to know what more would take, and samples of the other sums."""


@dataclass(frozen=True)
class Subject:
    """A network that is to be trained, and on what."""

    classifier: Classifier
    config: ModelConfig
    strategy: Strategy
    """'full' also where 'auto' trains in full."""

    contract: Contract
    """The network's own."""

    index: ImageIndex
    samples: tuple[Sample, ...]
    """Images that it learns from, and those that judge it."""

    views: Views

    def decoding_s(self) -> float:
        """Seconds in which one process decodes a view; of two views, one may be mixed with another image."""
        dataset = ViewDataset(self.index, self.samples, self.views)
        count = min(PROBE_IMAGES, len(self.samples))
        start = time.perf_counter()
        for number in range(count):
            _ = dataset[number * len(self.samples) // count, number % 2]
        return (time.perf_counter() - start) / count


def measured(subject: Subject, context: StageContext) -> tuple[Costs, int]:
    """Time each kind of work, without a teacher's.

    Returns:
        The costs, and the most views whose activations can be stored; 0 if none are.
    """
    with kept_memory(), torch.random.fork_rng():
        decoding_s = subject.decoding_s()
        if subject.strategy == "full":
            images_NHWC, forward_s = _forward(subject)
        else:
            with folded_norms(subject.classifier, _zeros(1, subject)):  # as features are recorded
                images_NHWC, forward_s = _forward(subject)
        view_s = _shared(decoding_s, forward_s, subject, context)
        if subject.strategy == "full":
            step_s = _full_step_s(subject)
            return Costs(view_s, _shared(decoding_s, step_s, subject, context)), 0
        costs = Costs(view_s, view_s, head=_head_costs(subject))
        if subject.strategy == "features":
            return costs, 0
        return _with_steps(costs, images_NHWC, decoding_s, subject, context)


def answering_seconds(subject: Subject, context: StageContext, *, half: bool) -> float:
    """Seconds in which a view is decoded in a teacher's size, and the teacher answers it, in bf16 if asked."""
    folded = folded_norms(subject.classifier, _zeros(1, subject))  # as answers are recorded
    with kept_memory(), folded, torch.autocast(_device().type, torch.bfloat16, enabled=half):
        _, forward_s = _forward(subject)
        return _shared(subject.decoding_s(), forward_s, subject, context)


def typical_seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of the fastest run, after a warm-up run: what other programs do at that time makes some runs longer."""
    work()
    seconds: list[float] = []
    while len(seconds) < _MOST_RUNS and sum(seconds) < (_LEAST_S if len(seconds) >= _LEAST_RUNS else _ENOUGH_S):
        start = clock()
        work()
        seconds.append(clock() - start)
    return min(seconds)


def _forward(subject: Subject) -> tuple[torch.Tensor, float]:
    """Images to time a network with, and its seconds for one of them."""
    device = _device()
    network = subject.classifier.to(device).eval()
    images_NHWC = _zeros(_LEAST_IMAGES, subject).to(device)

    def answer() -> None:
        with torch.inference_mode():
            network(images_NHWC).sum().item()

    rough_s = typical_seconds(answer) / _LEAST_IMAGES
    count = max(_LEAST_IMAGES, min(PROBE_IMAGES, int(_LONG_S / rough_s)))
    images_NHWC = _zeros(count, subject).to(device)
    forward_s = typical_seconds(answer) / count
    subject.classifier.to("cpu")
    return images_NHWC, forward_s


def _zeros(count: int, subject: Subject) -> torch.Tensor:
    return torch.zeros((count, subject.contract.height, subject.contract.width, 3), dtype=torch.uint8)


def _with_steps(
    costs: Costs, images_NHWC: torch.Tensor, decoding_s: float, subject: Subject, context: StageContext
) -> tuple[Costs, int]:
    """The costs with those of training the stages that the strategy trains."""
    classifier, side = subject.classifier, subject.contract.height
    stages = stages_of(classifier, len(subject.contract.labels), side)
    first = first_stage(stages, subject.config) if subject.strategy in ("auto", "partial") else 0
    part = cut(classifier, stages, first, side) if first else None
    frozen = [name for stage in stages[:first] for name in stage.modules]
    images_NHWC = images_NHWC[: batch_of(subject.config, len(subject.samples))]
    network = _copied(classifier, frozen)
    with _adapted(network, subject, context) if subject.strategy == "lora" else nullcontext():
        step_s = _step_s(network, images_NHWC)
    costs = replace(costs, step_s=_shared(decoding_s, step_s, subject, context))
    if part is None:
        return costs, 0
    storable = max(0, storable_views(part, len(subject.samples), context))
    if context.recipe.augment.mixes and not context.teachers:
        storable = 0  # each epoch mixes other images
    stored = images_NHWC.new_zeros((len(images_NHWC), *part.activation_shape), dtype=torch.float16)
    tail, count = deepcopy(part.tail).to(stored.device), context.processes.count
    step_s, answer_s = _step_s(tail, stored), _answer_s(part, stored)
    return replace(costs, stored_step_s=step_s / count, stored_view_s=answer_s), storable


@contextmanager
def _adapted(network: Classifier, subject: Subject, context: StageContext) -> Iterator[None]:
    """Low-rank updates of the matrix products, which alone are trained with the head."""
    classes, config = len(subject.contract.labels), subject.config
    products = matrix_products(network, classes, subject.contract.height)
    check_products(products, config, "student" if context.teachers else "teacher")
    head = head_of(network.net, classes)
    assert head is not None
    with adapted(network.net, products, head, rank=config.lora_rank, seed=0):
        yield


def _copied(classifier: Classifier, frozen: list[str]) -> Classifier:
    network = deepcopy(classifier).to(_device())
    for name in frozen:
        network.net.get_submodule(name).requires_grad_(False)
    return network


def _step_s(network: nn.Module, inputs: torch.Tensor) -> float:
    """Seconds of an optimizer step for one of its images; the network is changed."""
    network.eval()  # batch norms keep their statistics
    optimizer = torch.optim.AdamW([each for each in network.parameters() if each.requires_grad], lr=0.0)

    def step() -> None:
        optimizer.zero_grad()
        loss = network(inputs).square().mean()
        loss.backward()
        optimizer.step()
        loss.item()

    return typical_seconds(step) / len(inputs)


def _answer_s(part: Cut, stored: torch.Tensor) -> float:
    def answer() -> None:
        with torch.inference_mode():
            part.tail.to(stored.device)(stored).sum().item()

    seconds = typical_seconds(answer) / len(stored)
    part.tail.to("cpu")
    return seconds


def _full_step_s(subject: Subject) -> float:
    """Seconds of a training step in full for an image, of the sizes that images have in the course of the training."""
    order = Order(PROBE_IMAGES, PROBE_IMAGES, 0)
    whole_s = training_seconds(subject.classifier, subject.config, order, side=subject.contract.height)
    return whole_s / (subject.config.epochs * order.images)


def _head_costs(subject: Subject) -> HeadCosts:
    """Seconds of the sums of which fitting a head consists (`edgetl.train.logistic`)."""
    classes = len(subject.contract.labels)
    tap = FeatureTap(subject.classifier.net, classes)
    width, part = tap.width, min(tap.width, _HEAD_WIDTH)
    tap.remove()
    features_SD = torch.rand((_HEAD_SAMPLES, width))
    head_KD = torch.rand((classes, width))
    covariance = torch.rand((part, part), dtype=torch.float64)
    covariance = covariance @ covariance.T

    def evaluate() -> None:
        logs_SK = log_softmax(features_SD @ head_KD.T, dim=1)
        logs_SK.exp().T @ features_SD

    return HeadCosts(
        fixed_s=typical_seconds(lambda: torch.linalg.eigh(covariance)) * (width / part) ** 3,
        # The covariance is one such product, coordinates are another.
        sample_s=2 * typical_seconds(lambda: features_SD.T @ features_SD) / _HEAD_SAMPLES,
        evaluation_s=typical_seconds(evaluate) / _HEAD_SAMPLES,
        hidden_s=_hidden_s(features_SD, classes, HiddenFit.of(subject.config, 0)),
    )


def _hidden_s(features_SD: torch.Tensor, classes: int, hidden: HiddenFit | None) -> float:
    """Seconds of fitting a hidden layer, for each sample and epoch."""
    if not hidden:
        return 0.0
    samples, width = features_SD.shape
    linear = Head(np.zeros((classes, width), np.float32), np.zeros(classes, np.float32))
    uniform_SK = np.full((samples, classes), 1 / classes, np.float32)
    weights_S = np.ones(samples, np.float32)
    inputs_SD = features_SD.numpy()
    epoch_s = typical_seconds(lambda: next(fitted_heads(linear, inputs_SD, uniform_SK, weights_S, hidden)))
    return epoch_s / samples


def _shared(decoding_s: float, network_s: float, subject: Subject, context: StageContext) -> float:
    """Seconds of a view that is decoded for a network, with all workers and processes."""
    return piped(
        decoding_s,
        network_s / context.processes.count,
        workers=worker_count(subject.index, context.recipe.data.workers),
        threads=0 if torch.cuda.is_available() else torch.get_num_threads(),
        cores=int(machine()["cores"]),
    )


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
