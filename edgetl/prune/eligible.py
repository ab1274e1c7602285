"""Which networks can be pruned; checked before anything is trained."""

import torch
from torch import nn

from edgetl.devices.profiles import Target
from edgetl.errors import ModelError
from edgetl.prune.cutting import LEAST_KEPT, Cutter
from edgetl.prune.timing import timed_format
from edgetl.recipe.fields import Recipe
from edgetl.recipe.networks import ModelConfig
from edgetl.zoo.build import build_classifier, native_input
from edgetl.zoo.classifier import Classifier

__all__ = ["check_prunable"]

_KNOWN = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)
_OWN = {"weight", "bias"}
_CLASSES = 10


def check_prunable(recipe: Recipe, target: Target) -> None:
    """Make sure, before any training, that the student can be pruned and timed.

    Raises:
        ModelError: The student is not a convolutional network with batch norm, or its wiring is not supported.
        MissingExtra: No runtime of the target is installed here.
    """
    timed_format(recipe, target)
    config = recipe.student.model_copy(update={"weights": "none"})
    if problem := _problem(config):
        raise ModelError(f"{config.model}: cannot be pruned ({problem}). Leave --prune out, or choose another student")


def _problem(config: ModelConfig) -> str:
    """Why a network cannot be pruned; empty if it can."""
    side = native_input(config).native_size
    classifier, _ = build_classifier(config, _CLASSES, side, seed=0)
    layers = [layer for layer in classifier.net.modules() if next(layer.parameters(recurse=False), None) is not None]
    for layer in reversed(layers):  # parts before the whole network, whose name would say less
        if not isinstance(layer, _KNOWN) or {name for name, _ in layer.named_parameters(recurse=False)} - _OWN:
            return f"it has {type(layer).__name__}, and only convolutions with batch norm are supported"
        if isinstance(layer, nn.Conv2d) and layer.groups not in (1, layer.in_channels, layer.out_channels):
            return "it has grouped convolutions"
    if not any(isinstance(layer, nn.BatchNorm2d) for layer in layers):
        return "it has no batch norm"
    return _trial(classifier, side)


def _trial(classifier: Classifier, side: int) -> str:
    """Prune a network with random weights as hard as any recipe may ask for."""
    images_NHWC = torch.zeros(1, side, side, 3, dtype=torch.uint8)
    try:
        pruned = Cutter(classifier, side).cut(LEAST_KEPT, 8)
        with torch.inference_mode():
            pruned(images_NHWC)
    # Torch-Pruning fails in many ways on wiring that it cannot follow; they all mean the same.
    except (RuntimeError, IndexError, ValueError, ArithmeticError) as cause:
        return f"Torch-Pruning cannot follow its wiring: {' '.join(str(cause).split())[:80]}"
    return ""
