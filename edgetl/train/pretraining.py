"""Whether pretrained weights help at all: heads on their features, and on those of random weights.

Where the images are far from what the weights were made of, transfer may do nothing, or harm (Wang et al., arXiv
1811.09751). A part of the plain images answers that, in a few hundredths of the time that all their views
take.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from edgetl.data.index import Sample
from edgetl.data.loader import ordered_batches
from edgetl.data.views import Views
from edgetl.train.folds import folds_of
from edgetl.train.luck import is_better
from edgetl.train.probe import Examples, fit_probe
from edgetl.train.task import Task
from edgetl.zoo.build import build_untrained
from edgetl.zoo.head import FeatureTap

__all__ = ["Pretraining", "look_at_pretraining", "looked_at"]

_FOLDS = 4
_BATCH = 64
_LEAST, _MOST = 100, 500
"""Images that are looked at: a third, but no fewer and no more than these."""

_PART = 3
_ENOUGH = 40
"""With fewer images, that random weights are no worse says nothing."""


@dataclass(frozen=True)
class Pretraining:
    """Whether heads are right about images that they were not fitted on."""

    pretrained_N: NDArray[np.bool_]
    """On features of the pretrained weights."""

    random_N: NDArray[np.bool_]
    """On features of random weights, in the same order."""

    @property
    def sentence(self) -> str:
        """A warning, if the pretrained weights do not help."""
        images = len(self.random_N)
        if images < _ENOUGH or is_better(self.pretrained_N, self.random_N):
            return ""
        return (
            f"The pretrained weights do not help here beyond luck: of {images} plain images a head on their features is"
            f" right about {self.pretrained_N.mean():.1%}, on those of random weights about {self.random_N.mean():.1%}."
        )

    def figures(self) -> dict[str, float]:
        """For the manifest."""
        shares = {"pretrained_top1": self.pretrained_N.mean(), "random_top1": self.random_N.mean()}
        return {name: float(share) for name, share in shares.items()} | {"random_images": len(self.random_N)}


def look_at_pretraining(task: Task, features_ND: NDArray[np.float32]) -> Pretraining | None:
    """Compare a network's features with those of random weights, and say so if they are no better.

    Args:
        task: The network and its images.
        features_ND: What it says of the plain images.

    Returns:
        The comparison; None where the weights are random anyway, or there are fewer images than folds.
    """
    chosen = _chosen(task.labels)
    if task.config.weights == "none" or len(chosen) < _FOLDS:
        return None
    processes, reporter = task.context.processes, task.context.reporter
    found: Pretraining | None = None
    if processes.first:
        with reporter.library("looking at random weights"):
            random_ND = _random_features(task, [task.grid.samples[position] for position in chosen])
            found = Pretraining(*(_right(task, chosen, each) for each in (features_ND[chosen], random_ND)))
        if found.sentence:
            reporter.say(found.sentence)
    agreed: Pretraining | None = processes.agree(found)
    return agreed


def looked_at(images: int) -> int:
    """How many of some images with a label are looked at."""
    return min(images, _MOST, max(_LEAST, images // _PART))


def _chosen(labels_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions of some images with a label, evenly spread, since images lie class by class."""
    known = np.flatnonzero(labels_N >= 0)
    count = looked_at(len(known))
    return known[np.arange(count) * len(known) // count] if count else known


def _random_features(task: Task, samples: list[Sample]) -> NDArray[np.float32]:
    """Features of the plain images, of the network with random weights."""
    contract = task.context.contract
    classifier = build_untrained(task.config, len(contract.labels), contract.height, seed=task.seed)
    tap = FeatureTap(classifier.net, len(contract.labels))
    found: list[NDArray[np.float32]] = []
    batches = ordered_batches(
        task.grid.index, samples, Views(contract), batch_size=_BATCH, workers=task.context.recipe.data.workers
    )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    classifier.to(device).eval()
    # Batch norms take the statistics of the first images: those of a network without training are of no image.
    norms = [each for each in classifier.modules() if isinstance(each, torch.nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    for batch in batches:
        with torch.inference_mode():
            classifier(batch.images_NHWC.to(device))
        found.append(tap.take().float().cpu().numpy())
        for norm in norms:
            norm.eval()
    return np.concatenate(found)


def _right(task: Task, chosen: NDArray[np.int64], features_ND: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether the best head, by cross-validation, is right about each image."""
    labels_N = task.labels[chosen]
    one_hot_NK = np.eye(len(task.context.contract.labels), dtype=np.float32)[labels_N]
    examples = Examples(_rotated(features_ND)[None], one_hot_NK[None], labels_N, np.ones(len(chosen), np.float32))
    return fit_probe(examples, folds_of(labels_N.tolist(), _FOLDS, seed=task.seed)).right_N


def _rotated(features_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features in as many coordinates as there are images: no head notices, but it is found in a third of the time."""
    if features_ND.shape[1] <= len(features_ND):
        return np.ascontiguousarray(features_ND)
    centred_ND = torch.from_numpy(np.ascontiguousarray(features_ND)).double()
    centred_ND = centred_ND - centred_ND.mean(0)
    values_N, vectors_NN = torch.linalg.eigh(centred_ND @ centred_ND.T)
    rotated_NN: NDArray[np.float32] = (vectors_NN * values_N.clamp(min=0).sqrt()).float().numpy()
    return rotated_NN
