"""A plan with parameters, which reconstruction and quantization-aware training change.

Gradients pass rounding straight through (Bengio et al., 2013, arXiv 1308.3432) where nothing saturates; steps of
activations can be learned as in LSQ (Esser et al., 2020, arXiv 1902.08153).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import fx, nn

from edgetl.quantize.graph import Layer, copied, layers_of
from edgetl.quantize.grids import Grid
from edgetl.quantize.plan import Plan, RoundedLayer, Simulation
from edgetl.quantize.points import input_point, is_gate, output_point
from edgetl.quantize.widths import Width

__all__ = ["TrainablePlan"]

_softmax = torch.ops.aten.softmax.int
_STEP_OF_LOGITS = 0.05
"""Logits have no grid; an 8-bit grid over a typical range of 13 has this step."""


class _Round(torch.autograd.Function):
    """Codes within bounds; gradients pass where nothing saturates."""

    @staticmethod
    def forward(context: Any, codes_OC: torch.Tensor, width: Width) -> torch.Tensor:
        rounded_OC = width.nearest(codes_OC)
        context.save_for_backward((rounded_OC - codes_OC).abs() <= 1)
        return rounded_OC

    @staticmethod
    def backward(context: Any, gradient_OC: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient_OC * context.saved_tensors[0], None


class TrainablePlan(nn.Module):
    """A plan whose weights and biases, and optionally steps of activations, are parameters.

    Args:
        graph: The graph that the plan belongs to.
        plan: The start.
        width: Bounds on the weights.
        learn_steps: Whether steps of activations are parameters, too; those of the image and of gates never are.
    """

    graph: fx.GraphModule

    def __init__(
        self, graph: fx.GraphModule, plan: Plan, width: Callable[[Layer], Width], *, learn_steps: bool
    ) -> None:
        super().__init__()
        layers = {layer.node.name: layer for layer in layers_of(graph)}
        self._plan = plan
        self.__dict__["graph"] = copied(graph)  # no child module: a traced graph refuses to change to training
        self._widths = {name: width(layers[name]) for name in plan.layers}
        self._output = {name: output_point(layers[name].node).name for name in plan.layers}
        self.weights = nn.ParameterDict({name: nn.Parameter(each.weight) for name, each in plan.layers.items()})
        self.biases = nn.ParameterDict({name: nn.Parameter(each.bias_O.clone()) for name, each in plan.layers.items()})
        for name, each in plan.layers.items():
            self.register_buffer(f"scales_{name}", each.scales_O.clone())
        fixed = {input_point(graph).name, *(node.name for node in graph.graph.nodes if is_gate(node))}
        learned = {name: grid for name, grid in plan.grids.items() if learn_steps and name not in fixed}
        self.steps = nn.ParameterDict(
            {name: nn.Parameter(torch.tensor([math.log(grid.scale)])) for name, grid in learned.items()}
        )

    def forward(self, images_NHWC: torch.Tensor) -> torch.Tensor:
        """Log-probabilities `(N, K)`, which serve as logits, of `uint8 (N, H, W, 3)`."""
        logits_NK: torch.Tensor = _Trained(self, self._plan).run(images_NHWC)
        return logits_NK

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> "TrainablePlan":
        """Move the graph, too."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.graph._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def rounded(self, name: str) -> RoundedLayer:
        """The current state of a layer."""
        weight, scales_O = self.weights[name], self.get_buffer(f"scales_{name}")
        codes_OC: torch.Tensor = _Round.apply(  # type: ignore[no-untyped-call]
            weight.flatten(1) / scales_O[:, None], self._widths[name]
        )
        return RoundedLayer(codes_OC.view_as(weight), scales_O, self.biases[name])

    def layers_with_steps(self) -> Iterator[tuple[str, float, float]]:
        """Each layer with a typical step of its weights and the step of its output."""
        grids = self._plan.grids
        for name, each in self._plan.layers.items():
            point = self._output[name]
            yield name, float(each.scales_O.median()), grids[point].scale if point in grids else _STEP_OF_LOGITS

    @torch.no_grad()
    def finished(self) -> Plan:
        """The current plan."""
        layers = {}
        for name in self._plan.layers:
            rounded = self.rounded(name)
            layers[name] = replace(rounded, codes=rounded.codes.to(torch.int8), bias_O=rounded.bias_O.detach().clone())
        grids = {
            name: Grid(float(self.steps[name].exp()), grid.zero_point) if name in self.steps else grid
            for name, grid in self._plan.grids.items()
        }
        return replace(self._plan, layers=layers, grids=grids)


class _Trained(Simulation):
    """Computes a plan up to the logits, with the parameters in place of its own numbers."""

    def __init__(self, network: TrainablePlan, plan: Plan) -> None:
        super().__init__(network.graph, plan)
        self._network = network

    def run_node(self, n: fx.Node) -> object:
        if n.target is _softmax:
            return torch.log_softmax(self.fetch_args_kwargs_from_env(n)[0][0], -1)
        return super().run_node(n)

    def rounded(self, name: str) -> RoundedLayer | None:
        return self._network.rounded(name) if name in self.plan.layers else None

    def on_grid(self, name: str, values: torch.Tensor) -> torch.Tensor:
        if name not in self._network.steps:
            return super().on_grid(name, values)
        grid, step = self.plan.grids[name], self._network.steps[name].exp()
        share = 1 / math.sqrt(values[0].numel() * grid.top)
        zero = torch.full_like(step, float(grid.zero_point))
        rounded: torch.Tensor = torch._fake_quantize_learnable_per_tensor_affine(values, step, zero, 0, grid.top, share)
        return rounded
