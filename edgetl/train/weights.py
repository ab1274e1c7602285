"""Write a network's weights so that it can be built again from the file alone."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save

from edgetl.runs.files import write_atomic
from edgetl.train.adapters import plain_state
from edgetl.zoo.classifier import Classifier

__all__ = ["write_weights"]

_HEADER = ("library", "name", "arguments", "mean", "std", "head_units", "pruned")


def write_weights(file: Path, classifier: Classifier, model: dict[str, Any]) -> None:
    """Write a network's tensors, with a header from which the network can be built again.

    Args:
        file: A safetensors file.
        classifier: Its network's weights are written.
        model: The manifest's `model` entry; with `pruned` if channels are gone, and
            `head_units` other than 0 if its head has a hidden layer.
    """
    # One entry: the library writes several in random order, and equal weights must give equal files.
    header = {name: model[name] for name in _HEADER if model.get(name, 0) != 0}
    tensors = {name: value.contiguous() for name, value in plain_state(classifier.net).items()}
    write_atomic(file, save(tensors, metadata={"model": json.dumps(header, sort_keys=True)}))
