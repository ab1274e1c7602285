"""An input grid on which every pixel lies exactly."""

from torch import fx

from edgetl.compress.graph import Layer, is_layer, parameter
from edgetl.compress.grids import Grid
from edgetl.compress.points import input_point, root_of

__all__ = ["centre_pixels"]


def centre_pixels(graph: fx.GraphModule) -> Grid | None:
    """Move the mean to a whole pixel value, if all channels share mean and deviation; returns the input's grid.

    Pixels are integers already. Where the mean is 127.5, as many networks have it, an 8-bit grid rounds each of them by
    half a step; with 128 it rounds none, and the first layer's bias takes the difference. What remains is the border,
    where a layer pads with the mean.

    Args:
        graph: A folded graph; it is changed.
    """
    scaled = input_point(graph)
    shifted = scaled.args[0]
    assert isinstance(shifted, fx.Node)
    family = {node for node in graph.graph.nodes if root_of(node) is scaled}
    readers = {reader for node in family for reader in node.users} - family
    if len(readers) != 1 or not all(map(is_layer, readers)):
        return None
    mean_node, std_node = shifted.args[1], scaled.args[1]
    assert isinstance(mean_node, fx.Node)
    assert isinstance(std_node, fx.Node)
    mean_C, std_C = parameter(graph, str(mean_node.target)), parameter(graph, str(std_node.target))
    if float(mean_C.max() - mean_C.min()) > 1e-3 or float(std_C.max() - std_C.min()) > 1e-3:
        return None
    centre = round(float(mean_C[0]) + 1e-4)
    first = Layer(graph, readers.pop())
    shift = (centre - float(mean_C[0])) / float(std_C[0])
    first.bias = first.bias + first.weight.flatten(1).sum(1) * shift
    own = "input_centre"
    graph.register_buffer(own, mean_C.new_full(mean_C.shape, centre))
    with graph.graph.inserting_before(shifted):
        shifted.args = (shifted.args[0], graph.graph.get_attr(own))
    graph.recompile()
    return Grid(1 / float(std_C[0]), centre)
