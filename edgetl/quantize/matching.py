"""Identify a graph's tensors in a converted file by their values.

Converters fold, fuse, transpose and rename, each in its own way. But for the same image, a tensor of the file still
holds the numbers of a tensor of the graph, up to the order of axes and a positive factor that moved into weights.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx

from edgetl.quantize.graph import Layer, layers_of
from edgetl.quantize.points import rounded_points

__all__ = ["Match", "graph_tensors", "match_tensors", "match_weight"]

_TOLERANCE = 2e-3
"""Largest distance of equal tensors, scaled to length 1; converters reorder float32 sums."""


@dataclass(frozen=True)
class Match:
    """A tensor of a file that is `factor` times the output of a graph's node."""

    node: str
    factor: float


def graph_tensors(graph: fx.GraphModule, images_NHWC: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """Outputs of a folded graph's rounded points and layers, by node, in order of computation."""
    wanted = {node.name for node in (*rounded_points(graph), *(layer.node for layer in layers_of(graph)))}
    kept: dict[str, NDArray[np.float32]] = {}

    class Keeper(fx.Interpreter):
        def run_node(self, n: fx.Node) -> object:
            output = super().run_node(n)
            if n.name in wanted:
                assert isinstance(output, torch.Tensor)
                kept[n.name] = output.numpy()
            return output

    with torch.inference_mode():
        Keeper(graph).run(torch.from_numpy(images_NHWC))
    return kept


def match_tensors(
    nodes: Mapping[str, NDArray[np.float32]], tensors: Iterable[tuple[str, NDArray[np.float32]]]
) -> dict[str, Match]:
    """Match a file's tensors with a graph's.

    Args:
        nodes: The graph's tensors, channels before rows and columns, in order of computation.
        tensors: Names and values of the file's tensors for the same images, in order of computation, in any layout.

    Returns:
        Matches by the name of the file's tensor; tensors without one are left out.
    """
    prepared = {name: _Unit.of(_images_first(values)) for name, values in nodes.items()}
    free = list(prepared)
    matches: dict[str, Match] = {}
    for name, values in tensors:
        layouts = [_Unit.of(layout) for layout in _layouts(values)]
        found = ((node, prepared[node].factor_to(unit)) for node in (*free, *nodes) for unit in layouts)
        for node, factor in found:
            if factor is not None:
                matches[name] = Match(node, factor)
                if node in free:
                    free.remove(node)
                break
    return matches


def match_weight(layer: Layer, constants: Iterable[tuple[str, NDArray[np.float32]]]) -> tuple[str, float] | None:
    """Find a layer's weights among constants `(O, I, kH, kW)` or `(O, I)`: name and factor; None if absent."""
    own = _Unit.of(layer.weight.flatten(1).numpy())
    for name, values in constants:
        factor = own.factor_to(_Unit.of(values.reshape(len(values), -1))) if values.ndim > 1 else None
        if factor is not None:
            return name, factor
    return None


@dataclass(frozen=True)
class _Unit:
    """A tensor as a direction and a length."""

    shape: tuple[int, ...]
    direction: NDArray[np.float32]
    length: float

    @classmethod
    def of(cls, values: NDArray[np.float32]) -> "_Unit":
        flat = values.reshape(-1).astype(np.float32)
        length = float(np.linalg.norm(flat))
        return cls(values.shape, flat / length if length else flat, length)

    def factor_to(self, other: "_Unit") -> float | None:
        """The factor from this tensor to the other one; None if they are different tensors."""
        if self.shape != other.shape or (self.length == 0) != (other.length == 0):
            return None
        if self.length == 0:
            return 1.0
        if float(np.linalg.norm(self.direction - other.direction)) > _TOLERANCE:
            return None
        factor = other.length / self.length
        return 1.0 if abs(factor - 1) < 1e-4 else factor


def _images_first(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """`(N, C, ...)`, without trailing axes of length 1."""
    shape = list(values.shape)
    while len(shape) > 2 and shape[-1] == 1:
        shape.pop()
    return values.reshape(shape)


def _layouts(values: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """A file's tensor in every layout that the graph may have given it."""
    if values.ndim != 4:
        return [_images_first(values)]
    orders = ((0, 1, 2, 3), (0, 3, 1, 2), (0, 2, 3, 1))
    return [_images_first(np.ascontiguousarray(values.transpose(order))) for order in orders]
