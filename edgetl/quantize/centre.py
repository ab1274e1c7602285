"""An input grid that represents every pixel value exactly."""

import torch
from torch import fx

from edgetl.quantize.graph import Layer, is_layer, parameter
from edgetl.quantize.grids import Grid
from edgetl.quantize.points import input_point, root_of

__all__ = ["centre_pixels", "first_layer", "normalisation"]

_CENTRE = "input_centre"


def centre_pixels(graph: fx.GraphModule) -> Grid | None:
    """Move the mean to a whole pixel value, if all channels share mean and deviation; returns the input's grid.

    Pixels are integers already. With a mean of 127.5, as many networks have it, an 8-bit grid rounds each pixel by half
    a step; with 128 it rounds none, and the first layer's bias takes the difference. Only the border still differs,
    where a layer pads with the mean.

    Args:
        graph: A folded graph; it is changed.
    """
    mean_C, std_C = normalisation(graph)
    first = first_layer(graph)
    if first is None or float(mean_C.max() - mean_C.min()) > 1e-3 or float(std_C.max() - std_C.min()) > 1e-3:
        return None
    centre = round(float(mean_C[0]) + 1e-4)  # 127.5 must round up
    first.bias = first.bias + first.weight.flatten(1).sum(1) * ((centre - float(mean_C[0])) / float(std_C[0]))
    graph.register_buffer(_CENTRE, mean_C.new_full(mean_C.shape, centre))
    (shifted,) = input_point(graph).all_input_nodes[:1]
    with graph.graph.inserting_before(shifted):
        shifted.args = (shifted.args[0], graph.graph.get_attr(_CENTRE))
    graph.recompile()
    return Grid(1 / float(std_C[0]), centre)


def first_layer(graph: fx.GraphModule) -> Layer | None:
    """The layer that reads the image; None if anything else reads it, too."""
    scaled = input_point(graph)
    family = {node for node in graph.graph.nodes if root_of(node) is scaled}
    readers = {reader for node in family for reader in node.users} - family
    return Layer(graph, readers.pop()) if len(readers) == 1 and all(map(is_layer, readers)) else None


def normalisation(graph: fx.GraphModule) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of each channel, `(3,)` each, of pixels from 0 to 255."""
    scaled = input_point(graph)
    shifted, std = scaled.all_input_nodes
    return parameter(graph, str(shifted.all_input_nodes[1].target)), parameter(graph, str(std.target))
