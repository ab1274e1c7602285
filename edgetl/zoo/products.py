"""The matrix products of a network: linear layers that run at every position of an image, as those of transformers do.

A fully connected layer behind the pooling, which sees one vector of each image, is none, nor is a convolution.
"""

from collections.abc import Callable

import torch
from torch import nn

from edgetl.zoo.classifier import Classifier
from edgetl.zoo.head import last_layer

__all__ = ["matrix_products"]

_POSITIONS = 3
"""Axes of an input with positions: images, one or more of positions, channels."""


def matrix_products(classifier: Classifier, num_classes: int, side: int) -> list[str]:
    """Names of a network's matrix products, in the order in which they run.

    The network is run once. A layer whose weights are used without running it, such as the last one of
    `nn.MultiheadAttention`, is left out: nothing can be put in its place.

    Args:
        classifier: The network.
        num_classes: Its outputs.
        side: Height and width of its input, in pixels.
    """
    found: list[str] = []

    def noted(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            if inputs[0].ndim >= _POSITIONS and name not in found:
                found.append(name)

        return hook

    head = last_layer(classifier.net, num_classes)
    layers = [(n, m) for n, m in classifier.net.named_modules() if isinstance(m, nn.Linear) and m is not head]
    handles = [layer.register_forward_pre_hook(noted(name)) for name, layer in layers]
    was_training = classifier.training
    try:
        with torch.inference_mode():
            classifier.eval()(torch.zeros((1, side, side, 3), dtype=torch.uint8))
    finally:
        classifier.train(was_training)
        for handle in handles:
            handle.remove()
    return found
