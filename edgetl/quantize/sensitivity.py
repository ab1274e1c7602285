"""The cost of each rounding: alone in the float network, and left out of the quantized network."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, count

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx

from edgetl.quantize.graph import Layer, is_layer, layer_name, layers_of
from edgetl.quantize.plan import Plan, RoundedLayer, Simulation
from edgetl.quantize.points import input_point, label_of, operator_name, output_point, root_of

__all__ = ["Cost", "Sensitivity", "Unit", "divergence", "measure", "relaxed", "units_of"]

_CHUNK_PIXELS = 8 * 224 * 224
"""Pixels of the images whose tensors are all kept at once."""
_SMALLEST = np.float32(1e-12)


@dataclass(frozen=True)
class Unit:
    """A part that can be left in float by itself: a tensor, and the weights of the layer that computes it."""

    name: str
    """For people: the layer's name, followed by the operator's if it is another one."""

    nodes: frozenset[str]
    """Names of the layer's node and of the node that computes the tensor; one name if only one exists."""


@dataclass(frozen=True)
class Cost:
    """The effect of rounding on the answers."""

    sqnr_db: float
    """Signal to noise of the logits, in dB."""

    flips: float
    """Answers that change, as a fraction of 1."""

    divergence: float
    """Mean Kullback-Leibler divergence, in nats."""


@dataclass(frozen=True)
class Sensitivity:
    """The cost of one unit."""

    unit: Unit
    alone: Cost
    """Only this unit is rounded; weights and bias compensate for no earlier rounding."""

    without: Cost
    """All is rounded but this unit and the layers that must stay in float with it; the plan's biases stay."""


def units_of(graph: fx.GraphModule, plan: Plan) -> list[Unit]:
    """The units of a plan, in order of computation, without the image and the layer that reads it."""
    units: list[Unit] = []
    taken = {input_point(graph).name}
    if plan.pixels:
        first = {user for node in graph.graph.nodes if root_of(node) is input_point(graph) for user in node.users}
        taken |= {output_point(node).name for node in first if is_layer(node)} | {node.name for node in first}
    for node in graph.graph.nodes:
        point = output_point(node) if node.name in plan.layers else node
        nodes = {each.name for each in (node, point) if each.name in plan.layers or each.name in plan.grids}
        if nodes and not nodes & taken:
            units.append(Unit(_unused(_title(node), {unit.name for unit in units}), frozenset(nodes)))
            taken |= nodes
    return units


def _unused(title: str, names: set[str]) -> str:
    tried = chain([title], (f"{title} {number}" for number in count(2)))
    return next(name for name in tried if name not in names)


def _title(node: fx.Node) -> str:
    if is_layer(node):
        return layer_name(node)
    return f"{label_of(node)} ({operator_name(node)})"


def relaxed(graph: fx.GraphModule, plan: Plan, units: Collection[Unit]) -> Plan:
    """Leave units in float, with the layers that read or write a tensor that is no longer quantized."""
    gone = frozenset().union(*(unit.nodes for unit in units))
    grids = {name: grid for name, grid in plan.grids.items() if name not in gone}
    nodes = {node.name: node for node in graph.graph.nodes}

    def stays(name: str) -> bool:
        point = output_point(nodes[name]).name
        source = root_of(nodes[name].all_input_nodes[0]).name
        return name not in gone and source in grids and (point in grids or point not in plan.grids)

    return replace(plan, grids=grids, layers={name: each for name, each in plan.layers.items() if stays(name)})


def measurements(graph: fx.GraphModule, plan: Plan, images_NHWC: NDArray[np.uint8]) -> int:
    """The number of times that `measure` calls `advance`."""
    return len(units_of(graph, plan)) * len(_parts(images_NHWC))


def measure(
    graph: fx.GraphModule, plan: Plan, images_NHWC: NDArray[np.uint8], advance: Callable[[], None] = lambda: None
) -> list[Sensitivity]:
    """Measure every unit of a plan, in simulation.

    Args:
        graph: The graph that the plan belongs to.
        plan: The plan.
        images_NHWC: Images, `(N, H, W, 3)`; no labels are needed.
        advance: Called after each unit and part of the images.
    """
    units = units_of(graph, plan)
    parts = [_answers(graph, plan, units, part_NHWC, advance) for part_NHWC in _parts(images_NHWC)]
    reference_NK, alone_UNK, without_UNK = (np.concatenate(each, axis=-2) for each in zip(*parts, strict=True))
    return [
        Sensitivity(unit, _cost(reference_NK, alone_NK), _cost(reference_NK, without_NK))
        for unit, alone_NK, without_NK in zip(units, alone_UNK, without_UNK, strict=True)
    ]


def _parts(images_NHWC: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    size = max(1, _CHUNK_PIXELS // (images_NHWC.shape[1] * images_NHWC.shape[2]))
    return [images_NHWC[start : start + size] for start in range(0, len(images_NHWC), size)]


_Answers = NDArray[np.float32]


def _answers(
    graph: fx.GraphModule, plan: Plan, units: list[Unit], images_NHWC: NDArray[np.uint8], advance: Callable[[], None]
) -> tuple[_Answers, _Answers, _Answers]:
    """Probabilities of the float network `(N, K)`, and with each unit alone and left out `(U, N, K)`."""
    images, alone, without = torch.from_numpy(images_NHWC), [], []
    layers = {layer.node.name: layer for layer in layers_of(graph)}
    with torch.inference_mode():
        floats, rounded = _Kept(graph, Plan({}, {}, plan.pixels)), _Kept(graph, plan)
        reference_NK = floats.run(images)
        rounded.run(images)
        for unit in units:
            alone.append(floats.again(images, _only(plan, unit)))
            without.append(rounded.again(images, _all_but(graph, plan, unit, layers)))
            advance()
    return reference_NK.numpy(), torch.stack(alone).numpy(), torch.stack(without).numpy()


def _only(plan: Plan, unit: Unit) -> Plan:
    kept = {name: plan.alone[name] for name in unit.nodes if name in plan.layers}
    return replace(plan, layers=kept, grids={name: each for name, each in plan.grids.items() if name in unit.nodes})


def _all_but(graph: fx.GraphModule, plan: Plan, unit: Unit, layers: Mapping[str, Layer]) -> Plan:
    rest = relaxed(graph, plan, [unit])
    exact = {
        name: RoundedLayer(layers[name].weight, torch.ones_like(each.scales_O), each.bias_O)
        for name, each in plan.layers.items()
        if name not in rest.layers
    }
    return replace(rest, layers={**rest.layers, **exact})


class _Kept(Simulation):
    """A simulation that keeps every tensor, so that another plan is computed only where it differs."""

    def __init__(self, graph: fx.GraphModule, plan: Plan) -> None:
        super().__init__(graph, plan)
        self.garbage_collect_values = False
        self._graph = graph

    def again(self, images: torch.Tensor, plan: Plan) -> torch.Tensor:
        changed = set(_differing(self.plan, plan))
        touched: set[fx.Node] = set()
        for node in self._graph.graph.nodes:
            if node.name in changed or touched.intersection(node.all_input_nodes):
                touched.add(node)
        known = {node: value for node, value in self.env.items() if node not in touched}
        answers: torch.Tensor = Simulation(self._graph, plan).run(images, initial_env=known)
        return answers


def _differing(one: Plan, other: Plan) -> Iterator[str]:
    """Nodes that two plans treat differently."""
    for before, after in ((one.layers, other.layers), (one.grids, other.grids)):
        yield from (name for name in {**before, **after} if before.get(name) is not after.get(name))


def _cost(reference_NK: _Answers, answers_NK: _Answers) -> Cost:
    signal_NK, rounded_NK = (_logits(each) for each in (reference_NK, answers_NK))
    noise = float(((signal_NK - rounded_NK) ** 2).sum())
    return Cost(
        sqnr_db=10 * float(np.log10((signal_NK**2).sum() / max(noise, 1e-12))),
        flips=float((reference_NK.argmax(1) != answers_NK.argmax(1)).mean()),
        divergence=divergence(reference_NK, answers_NK),
    )


def divergence(reference_NK: NDArray[np.float32], answers_NK: NDArray[np.float32]) -> float:
    """Mean Kullback-Leibler divergence of answers from the reference, in nats."""
    ratio_NK = np.log(reference_NK.clip(_SMALLEST)) - np.log(answers_NK.clip(_SMALLEST))
    return float((reference_NK * ratio_NK).sum(1).mean())


def _logits(probabilities_NK: _Answers) -> NDArray[np.float64]:
    """Logits minus their mean, as far as probabilities determine them."""
    logits_NK: NDArray[np.float64] = np.log(probabilities_NK.clip(_SMALLEST)).astype(float)
    logits_NK -= logits_NK.mean(1, keepdims=True)
    return logits_NK
