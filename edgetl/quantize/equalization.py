"""Give all channels of a tensor the same range, so that one grid suits every channel.

A factor per channel moves from the weights that make a tensor to those that read it, and the network computes what it
did (cross-layer equalisation: Nagel et al., 2019, arXiv 1906.04721, section 4.1). There the factors even out the ranges
of weights; weights have a step per channel here, and it is the activations, with one step for all, that gain.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx

from edgetl.quantize.graph import Layer, layers_of
from edgetl.quantize.points import rounded_points, scaled_with

__all__ = ["equalize"]

_BATCH = 32
_SMALLEST_RANGE = 0.02
"""Of the widest channel's range: about five steps of an 8-bit grid. Channels below keep their scale."""


def equalize(graph: fx.GraphModule, images_NHWC: NDArray[np.uint8]) -> int:
    """Scale channels to the same range wherever the network's output stays the same.

    Args:
        graph: A folded graph; its weights and biases are changed.
        images_NHWC: Calibration images, which give the ranges.

    Returns:
        The number of groups of tensors that were scaled.
    """
    layers = {layer.node: layer for layer in layers_of(graph)}
    groups = _groups(graph, layers)
    for nodes, range_C in zip(groups, _ranges(graph, images_NHWC, groups), strict=True):
        widest = float(range_C.max())
        even_C = widest / range_C.clamp_min(_SMALLEST_RANGE * widest)
        # A channel with a tiny range may be dead; scaling it up would only amplify noise.
        factor_C = torch.where(range_C > _SMALLEST_RANGE * widest, even_C, torch.ones_like(even_C))
        for layer in layers.values():
            _scale(layer, nodes, factor_C)
    return len(groups)


def _scale(layer: Layer, nodes: set[fx.Node], factor_C: torch.Tensor) -> None:
    """Change the weights of a layer that writes or reads scaled tensors."""
    rest = [1] * (layer.weight.dim() - 2)
    if layer.node in nodes:
        layer.weight = layer.weight * factor_C.view(-1, 1, *rest)
        layer.bias = layer.bias * factor_C
    if layer.source in nodes:
        inputs = (-1, 1) if layer.is_depthwise else (1, -1)
        layer.weight = layer.weight / factor_C.view(*inputs, *rest)


def _groups(graph: fx.GraphModule, layers: dict[fx.Node, Layer]) -> list[set[fx.Node]]:
    """Groups of tensors whose channels must be scaled together, between layers that can absorb the factors."""
    sets: dict[fx.Node, set[fx.Node]] = {node: {node} for node in graph.graph.nodes}
    bound: set[fx.Node] = set()
    for node in graph.graph.nodes:
        sources = [source for source in node.all_input_nodes if source.op != "get_attr"]
        if layer := layers.get(node):
            bound.update(() if layer.reads_channels else sources)
            continue
        together = scaled_with(node)
        for source in together:
            sets[node] |= sets[source]
            for member in sets[node]:
                sets[member] = sets[node]
        bound.update(set(sources).difference(together), () if together else (node,))
    distinct = {id(nodes): nodes for nodes in sets.values()}
    return [nodes for nodes in distinct.values() if not nodes & bound]


def _ranges(graph: fx.GraphModule, images_NHWC: NDArray[np.uint8], groups: list[set[fx.Node]]) -> list[torch.Tensor]:
    """Largest absolute value of each channel over the rounded tensors of each set."""
    group_of = {node: number for number, nodes in enumerate(groups) for node in nodes}
    wanted = {node: group_of[node] for node in rounded_points(graph) if node in group_of}
    ranges: dict[int, torch.Tensor] = {}

    class Ranges(fx.Interpreter):
        def run_node(self, n: fx.Node) -> object:
            output = super().run_node(n)
            if (group := wanted.get(n)) is not None:
                assert isinstance(output, torch.Tensor)
                found_C = output.abs().transpose(0, 1).flatten(1).amax(1)
                ranges[group] = torch.maximum(ranges.get(group, found_C), found_C)
            return output

    with torch.no_grad():
        for start in range(0, len(images_NHWC), _BATCH):
            Ranges(graph).run(torch.from_numpy(images_NHWC[start : start + _BATCH]))
    return [ranges[group] for group in range(len(groups))]
