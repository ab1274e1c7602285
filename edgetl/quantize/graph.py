"""The network as a graph that quantization can rewrite: plain operators, folded BatchNorm, decomposed activations."""

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import fx, nn

from edgetl.export.tracing import traced
from edgetl.runner.contract import Contract
from edgetl.runs.quiet import quiet
from edgetl.zoo.deployable import Deployable

__all__ = ["Layer", "copied", "folded_graph", "is_layer", "layer_name", "layers_of", "parameter", "set_parameter"]

_aten = torch.ops.aten
_LAYERS = (_aten.conv2d.default, _aten.linear.default)
_NORM = _aten._native_batch_norm_legit_no_training.default
_GATES = {_aten.hardswish.default: _aten.hardsigmoid.default, _aten.silu.default: _aten.sigmoid.default}
"""Activations that multiply their input by a gate, with that gate."""

_PREFIX = "classifier.net."
_CONV_DEFAULTS = ([1, 1], [0, 0], [1, 1], 1)


class Layer:
    """A convolution or fully connected layer of a folded graph; it has a bias even if the network had none."""

    def __init__(self, graph: fx.GraphModule, node: fx.Node) -> None:
        self.node = node
        self._graph = graph
        self._weight, self._bias = _target(node.args[1]), _target(node.args[2])

    @property
    def name(self) -> str:
        """The module's name in the network, such as `blocks.0.0.conv_pw`."""
        return layer_name(self.node)

    @property
    def source(self) -> fx.Node:
        """The node whose output the layer filters."""
        source = self.node.args[0]
        assert isinstance(source, fx.Node)
        return source

    @property
    def is_convolution(self) -> bool:
        """Whether it is a convolution; otherwise it is fully connected."""
        return self.node.target is _aten.conv2d.default

    @property
    def geometry(self) -> tuple[list[int], list[int], list[int], int]:
        """Stride, padding, dilation and groups of a convolution."""
        given = self.node.args[3:]
        stated: tuple[Any, ...] = (*given, *_CONV_DEFAULTS[len(given) :])
        stride, padding, dilation, groups = stated
        return stride, padding, dilation, groups

    @property
    def is_depthwise(self) -> bool:
        """Whether each output channel has an input channel of its own."""
        return self.is_convolution and self.geometry[3] == len(self.weight) and self.weight.shape[1] == 1

    @property
    def reads_channels(self) -> bool:
        """Whether each input channel has weights of its own, so that a factor can move into them."""
        return not self.is_convolution or self.geometry[3] == 1 or self.is_depthwise

    @property
    def weight(self) -> torch.Tensor:
        """`(O, I, kH, kW)` or `(O, I)`."""
        return parameter(self._graph, self._weight)

    @weight.setter
    def weight(self, value: torch.Tensor) -> None:
        set_parameter(self._graph, self._weight, value)

    @property
    def bias(self) -> torch.Tensor:
        """`(O,)`."""
        return parameter(self._graph, self._bias)

    @bias.setter
    def bias(self, value: torch.Tensor) -> None:
        set_parameter(self._graph, self._bias, value)

    def compute(self, inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """The layer's output for other weights and another bias than its own."""
        output: torch.Tensor = self.node.target(inputs, weight, bias, *self.node.args[3:])  # type: ignore[operator]
        return output


def folded_graph(deployable: Deployable, contract: Contract) -> fx.GraphModule:
    """Trace the exported graph for any batch size, and bring it to the form in which integer runtimes compute.

    Each BatchNorm is folded into the convolution before it (Jacob et al., 2018, arXiv 1712.05877, section 3.2), and
    hard-swish and SiLU become a gate and a product, whose ranges differ. It computes what the network computes.
    """
    with quiet():
        graph = traced(deployable, contract).run_decompositions({}).module()
    assert isinstance(graph, fx.GraphModule)
    for node in list(graph.graph.nodes):
        if node.op == "call_module" or node.target is _aten._assert_tensor_metadata.default:
            graph.graph.erase_node(node)  # checks of the example's shape
        elif node.target in _GATES:
            _take_apart(graph, node)
    for node in list(graph.graph.nodes):
        if node.target in _LAYERS:
            _give_bias(graph, node)
        elif node.target is _NORM:
            _fold(graph, node)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    for value in (*graph.parameters(), *graph.buffers()):
        value.requires_grad_(False)
    return graph


def copied(graph: fx.GraphModule) -> fx.GraphModule:
    """A graph with weights of its own."""
    with quiet():
        return copy.deepcopy(graph)


def _target(node: fx.node.Argument) -> str:
    """The name of a parameter that a node stands for."""
    assert isinstance(node, fx.Node)
    return str(node.target)


def layer_name(node: fx.Node) -> str:
    """The name that a layer's module has in the network."""
    return _target(node.args[1]).removesuffix(".weight").removeprefix(_PREFIX)


def is_layer(node: fx.Node) -> bool:
    """Whether a node has weights of its own."""
    return node.target in _LAYERS


def layers_of(graph: fx.GraphModule) -> Iterator[Layer]:
    """The layers of a folded graph, from the input on; layers that share weights are left out."""
    return (Layer(graph, node) for node in graph.graph.nodes if is_layer(node) and not _is_shared(node))


def _is_shared(layer: fx.Node) -> bool:
    """Whether another layer has the same weights."""
    weights = [_target(node.args[1]) for node in layer.graph.nodes if is_layer(node)]
    return weights.count(_target(layer.args[1])) > 1


def parameter(graph: fx.GraphModule, name: str) -> torch.Tensor:
    """A tensor of a graph's module, by its dotted name."""
    value: torch.Tensor = getattr(graph.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2])
    return value.detach()


def set_parameter(graph: fx.GraphModule, name: str, value: torch.Tensor) -> None:
    """Replace a tensor of a graph's module."""
    owner, leaf = graph.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2]
    if leaf in owner._buffers:
        owner._buffers[leaf] = value
    else:
        setattr(owner, leaf, nn.Parameter(value.contiguous(), requires_grad=False))


def _take_apart(graph: fx.GraphModule, node: fx.Node) -> None:
    with graph.graph.inserting_before(node):
        gate = graph.graph.call_function(_GATES[node.target], (node.args[0],))  # type: ignore[index]
        product = graph.graph.call_function(_aten.mul.Tensor, (node.args[0], gate))
    node.replace_all_uses_with(product)
    graph.graph.erase_node(node)


def _give_bias(graph: fx.GraphModule, node: fx.Node) -> None:
    if len(node.args) > 2 and node.args[2] is not None:
        return
    weight = _target(node.args[1])
    values = parameter(graph, weight)
    name = f"{weight.removesuffix('.weight')}.bias"
    set_parameter(graph, name, values.new_zeros(len(values)))
    with graph.graph.inserting_before(node):
        bias = graph.graph.get_attr(name)
    node.args = (*node.args[:2], bias, *node.args[3:])


def _fold(graph: fx.GraphModule, node: fx.Node) -> None:
    source = node.args[0]
    assert isinstance(source, fx.Node)
    if not is_layer(source) or len(source.users) > 1 or _is_shared(source):
        return  # a norm before its convolution (DenseNet) stays an operator of its own
    layer, (_, *statistics, _, epsilon) = Layer(graph, source), node.args
    gamma, beta, mean, variance = (parameter(graph, _target(each)).double() for each in statistics)
    factor = gamma / torch.sqrt(variance + float(epsilon))  # type: ignore[arg-type]  # a number by the schema
    layer.weight = (layer.weight.double() * factor.view(-1, *[1] * (layer.weight.dim() - 1))).float()
    layer.bias = ((layer.bias.double() - mean) * factor + beta).float()
    for output in list(node.users):  # the operator also returns statistics, which are unused
        output.replace_all_uses_with(source)
        graph.graph.erase_node(output)
    graph.graph.erase_node(node)
