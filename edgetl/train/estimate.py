"""How long a training will take on this machine, measured on a few batches before it starts."""

import time
from collections.abc import Callable
from copy import deepcopy

import torch

from edgetl.data.dataset import ViewDataset
from edgetl.data.loader import Order
from edgetl.devices.facts import machine
from edgetl.recipe.networks import ModelConfig
from edgetl.train.trainee import side_of_step
from edgetl.zoo.classifier import Classifier

__all__ = ["PROBE_IMAGES", "decoding_seconds", "fastest_seconds", "training_seconds"]

PROBE_IMAGES = 16
"""Images of a timed batch: a second or less for most networks."""

_STEPS_LOOKED_AT = 50
"""Steps, evenly over the training, whose image size is looked up."""


def training_seconds(
    classifier: Classifier,
    config: ModelConfig,
    order: Order,
    *,
    side: int,
    processes: int = 1,
    decoding_s: float = 0.0,
) -> float:
    """Estimate a training without its validation; the classifier stays as it is.

    Args:
        classifier: What will be trained.
        config: Its epochs, and the size of its first images.
        order: Its images.
        side: Height and width of the full images, in pixels.
        processes: How many share the images.
        decoding_s: Seconds that it takes to decode a view; 0 if views are stored.
    """
    total = config.epochs * order.steps_per_epoch
    looked_at = range(0, total, max(1, total // _STEPS_LOOKED_AT))
    sides = [side_of_step(step, total, side=side, resize_from=config.resize_from) for step in looked_at]
    image_s = {each: _step_seconds(classifier, each) for each in set(sides)}
    mean_s = sum(image_s[each] for each in sides) / len(sides)
    return config.epochs * order.images * (mean_s / processes + decoding_s)


def decoding_seconds(dataset: ViewDataset, workers: int) -> float:
    """Seconds per decoded view, with this many worker processes."""
    count = min(PROBE_IMAGES, len(dataset))
    start = time.perf_counter()
    for position in range(count):
        _ = dataset[position, 0]
    return (time.perf_counter() - start) / count / max(1, min(workers, int(machine()["cores"])))


def fastest_seconds(work: Callable[[], object]) -> float:
    """Seconds of the faster of two runs, after a warm-up run."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def _step_seconds(classifier: Classifier, side: int) -> float:
    """Seconds per image of a forward and a backward pass, timed on a copy of the classifier."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = deepcopy(classifier).to(device).train()
    images_NHWC = torch.zeros((PROBE_IMAGES, side, side, 3), dtype=torch.uint8, device=device)

    def learn() -> None:
        network.zero_grad()
        loss = network(images_NHWC).square().mean()
        loss.backward()
        loss.item()

    return fastest_seconds(learn) / PROBE_IMAGES
