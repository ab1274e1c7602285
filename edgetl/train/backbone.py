"""What a network with its pretrained weights says of all views, computed once: features, and activations at a cut."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgetl.data.dataset import Batch
from edgetl.data.grid import ViewGrid
from edgetl.data.store import ArrayStore
from edgetl.errors import ModelError
from edgetl.runs.files import hash_of
from edgetl.runs.stage import StageContext
from edgetl.train.fitted_head import Head
from edgetl.train.pretraining import Pretraining
from edgetl.train.recording import record
from edgetl.zoo.classifier import Classifier
from edgetl.zoo.cut import Cut
from edgetl.zoo.folding import folded_norms
from edgetl.zoo.head import FeatureTap, HiddenHead, head_of, last_layer

__all__ = ["Backbone", "is_linear", "put_head", "record_backbone"]

_CHECKED = 4
"""Images on which a head is checked to be linear."""


@dataclass(frozen=True)
class Backbone:
    """A network as it was loaded, and what it said of a grid of views."""

    grid: ViewGrid
    features_RND: NDArray[np.float32]
    """Inputs of the last layer, averaged over positions; a memory map."""

    cut: Cut | None = None
    activations: NDArray[np.float16] | None = None
    """`(R, N, ...)` at the cut; a memory map."""

    pretraining: Pretraining | None = None
    """What the pretrained weights gave beside random ones, if that was looked at."""


def record_backbone(
    classifier: Classifier, grid: ViewGrid, at: Cut | None, context: StageContext, *, section: str, checkpoints: str
) -> Backbone:
    """Compute what is missing of the features, and of the activations at a cut.

    Features are kept in the run's folder `.features`, so that another strategy need not compute them again;
    activations are large, and are kept while the stage runs.

    Args:
        classifier: With its pretrained weights.
        grid: The views and images.
        at: Where activations are taken; None for features alone.
        context: The stage's context.
        section: Section of the recipe, for the names on disk.
        checkpoints: Name of the folder for the activations.

    Raises:
        ModelError: The network's answers are not a linear function of its features.
        OSError: The disk is full, or fails.
    """
    contract = context.contract
    classes = len(contract.labels)
    if not is_linear(classifier, classes, contract.height):
        raise ModelError(
            f"{type(classifier.net).__name__}: its answers are no linear function of its features, so no head can be"
            f" fitted to these. Train all of it, with --set {section}.strategy=full"
        )
    tap = FeatureTap(classifier.net, classes)
    shape = (grid.rows, len(grid.samples))
    about = {"network": _sha256(classifier, classes), **grid.about()}
    place = context.folder.path / ".features" / f"{section}-{hash_of(about)[:16]}"
    features = ArrayStore(place, "features", (*shape, tap.width), "<f4", about)
    activations = None
    if at:
        place = context.folder.checkpoint_dir(f"{checkpoints}/activations-{at.last.replace('.', '-')}")
        about = {**about, "cut": at.last}
        activations = ArrayStore(place, "activations", (*shape, *at.activation_shape), "<f2", about)
    recorder = _BackboneRecorder(classifier, tap, features, at, activations)
    device = next(classifier.parameters()).device
    example = torch.zeros((1, contract.height, contract.width, 3), dtype=torch.uint8, device=device)
    with folded_norms(classifier, example):
        record(grid, [recorder], context, title="Computing features")
    return Backbone(grid, features.read(), at, activations.read() if activations else None)


def is_linear(classifier: Classifier, classes: int, side: int) -> bool:
    """Whether the answers are those of the head to the features as they are; a SqueezeNet has a ReLU behind it."""
    head, layer = head_of(classifier.net, classes), last_layer(classifier.net, classes)
    if layer is None or layer.bias is None:
        return False
    tap = FeatureTap(classifier.net, classes)
    pixels = torch.arange(_CHECKED * side * side * 3, dtype=torch.int64).mul(7).remainder(251).to(torch.uint8)
    classifier.eval()
    with torch.inference_mode():
        logits_NK = classifier(pixels.reshape(_CHECKED, side, side, 3))
        features_ND = tap.take()
        tap.remove()
        linear_NK = features_ND @ layer.weight.flatten(1).T + layer.bias
        own_NK = head(features_ND) if isinstance(head, HiddenHead) else linear_NK
    return torch.allclose(logits_NK, own_NK, rtol=1e-3, atol=1e-3)


def put_head(classifier: Classifier, head: Head) -> None:
    """Give a network's head the weights of a fitted one; a hidden layer that was not fitted says nothing at first."""
    layer, whole = last_layer(classifier.net, len(head.bias_K)), head_of(classifier.net, len(head.bias_K))
    assert layer is not None
    assert layer.bias is not None
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(head.weight_KD).reshape(layer.weight.shape))
        layer.bias.copy_(torch.from_numpy(head.bias_K))
        if isinstance(whole, HiddenHead):
            whole.head_output.weight.zero_()
        if isinstance(whole, HiddenHead) and head.hidden:
            whole.head_hidden.weight.copy_(torch.from_numpy(head.hidden.weight_UD))
            whole.head_hidden.bias.copy_(torch.from_numpy(head.hidden.bias_U))
            whole.head_output.weight.copy_(torch.from_numpy(head.hidden.output_KU))


class _BackboneRecorder:
    """Computes features and activations in one pass."""

    def __init__(
        self,
        classifier: Classifier,
        tap: FeatureTap,
        features: ArrayStore,
        at: Cut | None,
        activations: ArrayStore | None,
    ) -> None:
        self.stores: Sequence[ArrayStore] = [features, *([activations] if activations else [])]
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._classifier = classifier.to(self._device).eval()
        self._tap = tap
        self._heard: torch.Tensor | None = None
        self._hook = classifier.net.get_submodule(at.last).register_forward_hook(self._hear) if at else None

    def numbers(self, batch: Batch) -> dict[str, NDArray[Any]]:
        with torch.inference_mode():
            self._classifier(batch.images_NHWC.to(self._device))
        found: dict[str, NDArray[Any]] = {"features": self._tap.take().float().cpu().numpy()}
        if self._heard is not None:
            found["activations"] = self._heard.to("cpu", torch.float16).numpy()
            self._heard = None
        return found

    def release(self) -> None:
        self._tap.remove()
        if self._hook:
            self._hook.remove()
        self._classifier.to("cpu")

    def _hear(self, _module: torch.nn.Module, _inputs: object, output: torch.Tensor) -> None:
        self._heard = output


def _sha256(classifier: Classifier, classes: int) -> str:
    """Hash of everything that decides the features, which the head does not."""
    digest = hashlib.sha256(f"{type(classifier.net).__name__}".encode())
    head = head_of(classifier.net, classes)
    own = {id(parameter) for parameter in head.parameters()} if head else set()
    for name, value in sorted(classifier.state_dict(keep_vars=True).items()):
        if id(value) not in own and not name.endswith("num_batches_tracked"):
            digest.update(name.encode())
            digest.update(value.detach().contiguous().numpy().tobytes())
    digest.update(classifier.mean.numpy().tobytes() + classifier.std.numpy().tobytes())
    return digest.hexdigest()
