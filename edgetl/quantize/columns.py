"""A layer's inputs as the columns of a matrix, one per weight, at randomly drawn positions (im2col)."""

from collections.abc import Iterable

import torch
from torch.nn import functional

from edgetl.quantize.graph import Layer

__all__ = ["sampled_columns"]

_MOST_PLACES = 60_000
"""Rows at most, which bounds the time that a narrow layer takes."""

_MOST_VALUES = 28_000_000
"""Of the whole matrix: 112 MB in float32."""


def sampled_columns(layer: Layer, inputs: Iterable[torch.Tensor], batches: int) -> torch.Tensor | None:
    """Draw positions of a layer's output and return the inputs that its weights multiply there.

    Args:
        layer: The layer.
        inputs: `(N, I, H, W)` or `(N, ..., I)`, one per batch.
        batches: Number of batches.

    Returns:
        `(P, I * kH * kW)`, image after image; of a depthwise convolution `(O, P, kH * kW)`; None for other grouped
        convolutions.
    """
    weight = layer.weight
    groups = layer.geometry[3] if layer.is_convolution else 1
    if groups > 1 and weight.shape[1] > 1:
        return None
    width = weight[0].numel() * groups
    places = min(_MOST_PLACES, _MOST_VALUES // width) // batches + 1
    generator = torch.Generator().manual_seed(0)
    parts = [_columns(layer, batch, places, generator) for batch in inputs]
    columns_PCK = torch.cat(parts)
    if groups == 1:
        return columns_PCK.flatten(1)
    return columns_PCK.transpose(0, 1).repeat_interleave(len(weight) // groups, 0)


def _columns(layer: Layer, inputs: torch.Tensor, places: int, generator: torch.Generator) -> torch.Tensor:
    """`(P, C, kH * kW)` at up to `places` places of one batch."""
    if not layer.is_convolution:
        vectors = inputs.flatten(0, -2)
        return vectors[_some(len(vectors), places, generator), :, None]
    stride, padding, dilation, _ = layer.geometry
    if any(padding):
        inputs = functional.pad(inputs, (padding[1], padding[1], padding[0], padding[0]))
    height, width = layer.weight.shape[2:]
    rows = (inputs.shape[2] - dilation[0] * (height - 1) - 1) // stride[0] + 1
    cells = (inputs.shape[3] - dilation[1] * (width - 1) - 1) // stride[1] + 1
    picks = _some(len(inputs) * rows * cells, places, generator)
    image, row, cell = picks // (rows * cells), picks // cells % rows * stride[0], picks % cells * stride[1]
    patches = [
        inputs[image, :, row + dilation[0] * y, cell + dilation[1] * x] for y in range(height) for x in range(width)
    ]
    return torch.stack(patches, dim=2)


def _some(count: int, most: int, generator: torch.Generator) -> torch.Tensor:
    if count <= most:
        return torch.arange(count)
    return torch.randint(count, (most,), generator=generator).sort().values
