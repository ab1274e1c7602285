"""Where activations are quantized: every tensor that an integer operator reads."""

from collections import Counter
from operator import getitem

import torch
from torch import fx

from edgetl.quantize.graph import is_layer, layer_name

__all__ = [
    "float_operators",
    "input_point",
    "is_gate",
    "label_of",
    "operator_name",
    "output_point",
    "root_of",
    "rounded_points",
    "scaled_with",
]

_aten = torch.ops.aten
_CLAMPS = (_aten.relu.default, _aten.relu6.default, _aten.hardtanh.default)
"""Activations that an integer layer computes by saturating: the layer's own output is never stored."""

_GATES = (_aten.hardsigmoid.default, _aten.sigmoid.default)
_JOINS = (_aten.add.Tensor, _aten.mul.Tensor)
_POOLS = (_aten.mean.dim, _aten.avg_pool2d.default)
_CONCAT = _aten.cat.default
_IN_PLACE = (
    _aten.dropout.default,
    _aten.clone.default,
    _aten.pad.default,
    _aten.constant_pad_nd.default,
    _aten.max_pool2d.default,
)
"""Operators that only move or select values within a channel."""

_PASSING = (
    *_IN_PLACE,
    _aten.permute.default,
    _aten.reshape.default,
    _aten.view.default,
    _aten._unsafe_view.default,
    _aten.transpose.int,
    _aten.flatten.using_ints,
)
"""Operators that only move or select values, so that the output keeps the input's grid."""

_MOVING = (_aten.slice.Tensor, _aten.select.int, _aten.expand.default, _aten.unbind.int, _aten.sym_size.int, getitem)
"""Further operators that compute nothing."""


def rounded_points(graph: fx.GraphModule) -> list[fx.Node]:
    """Find the nodes of a folded graph whose outputs are quantized, in order of computation.

    These are the tensors that integer operators read, and the outputs of convolutions. The output of a layer before a
    clamp is never stored, and logits stay in float: the best two may be closer than a step.
    """
    points: set[fx.Node] = set()
    for node in graph.graph.nodes:
        points.update(root for root in map(root_of, _read(node)) if root.op == "call_function")
        if node.target is _aten.conv2d.default:
            points.add(node)
    return [node for node in graph.graph.nodes if node in points and not _is_clamped(node)]


def root_of(node: fx.Node) -> fx.Node:
    """The node that computed the values of this one."""
    while node.op == "call_function" and node.target in _PASSING:
        node = node.args[0]  # type: ignore[assignment]  # these operators take a tensor first
    return node


def float_operators(graph: fx.GraphModule) -> Counter[str]:
    """Count the operators between image and logits without an integer form, by name."""
    computed = [node for node in graph.graph.nodes if node.op == "call_function"]
    inside = computed[computed.index(input_point(graph)) + 1 : -1]  # the last one makes probabilities of the logits
    return Counter(operator_name(node) for node in inside if not _has_integers(node))


def _has_integers(node: fx.Node) -> bool:
    return bool(_read(node)) or node.target in _PASSING + _MOVING


def operator_name(node: fx.Node) -> str:
    """An operator's name in PyTorch."""
    name = str(getattr(node.target, "__name__", node.target)).partition(".")[0]
    return "batch_norm" if "batch_norm" in name else name.strip("_")


def input_point(graph: fx.GraphModule) -> fx.Node:
    """The node of the normalised image."""
    return rounded_points(graph)[0]


def is_gate(node: fx.Node) -> bool:
    """Whether the output lies between 0 and 1 by definition."""
    return node.target in _GATES


def output_point(layer: fx.Node) -> fx.Node:
    """The node of a layer's stored output: the clamp behind it, or the layer itself."""
    return next(iter(layer.users)) if _is_clamped(layer) else layer


def scaled_with(node: fx.Node) -> list[fx.Node]:
    """The inputs whose channels can be scaled by positive factors if the node's output is scaled alike; empty if none.

    Not those of a ReLU6: its 6 would have to be scaled, too.
    """
    inputs = [source for source in node.all_input_nodes if source.op == "call_function"]
    if node.target is _aten.add.Tensor:
        return inputs if len(inputs) == 2 else []
    if node.target is _aten.mul.Tensor:
        return [source for source in inputs if not is_gate(root_of(source))] if _is_gated(inputs) else []
    if node.target in (_aten.relu.default, *_POOLS, *_IN_PLACE):
        return inputs[:1]
    return inputs[:1] if node.target is _aten.view.default and _is_flattening(node) else []


def _is_gated(operands: list[fx.Node]) -> bool:
    """Whether a product is of a tensor and a gate that is not computed from it directly, as in squeeze-and-excite."""
    gates = [source for source in operands if is_gate(source)]
    others = [source for source in operands if not is_gate(source)]
    return len(gates) == len(others) == 1 and gates[0].args[0] is not others[0]


def _is_flattening(node: fx.Node) -> bool:
    """Whether an image of one pixel becomes a vector of channels."""
    before, after = (tuple(each.meta["val"].shape) if "val" in each.meta else () for each in (root_of(node), node))
    return len(before) == 4 and len(after) == 2 and before[1] == after[1]


def label_of(node: fx.Node) -> str:
    """For people: the name of the last layer that a tensor comes from."""
    while node.op == "call_function" and not is_layer(node):
        node = max(source for source in node.all_input_nodes if source.op != "get_attr")
    return layer_name(node) if is_layer(node) else "input"


def _read(node: fx.Node) -> list[fx.Node]:
    """The activations that a node reads as integers."""
    if node.target is _CONCAT:
        return list(node.args[0])  # type: ignore[arg-type]
    if node.target in _JOINS:
        operands = [source for source in node.all_input_nodes if source.op == "call_function"]
        return operands if len(node.args) == len(operands) else []  # with a constant it stays in float
    if is_layer(node) or node.target in _CLAMPS + _GATES + _POOLS:
        return [node.args[0]]  # type: ignore[list-item]
    return []


def _is_clamped(node: fx.Node) -> bool:
    users = list(node.users)
    return is_layer(node) and len(users) == 1 and users[0].target in _CLAMPS
