"""Reconstruction: tune biases, steps and weights of a plan together, so that its answers come back to the float ones.

Rounding passes gradients straight through (Bengio et al., 2013, arXiv 1308.3432), steps of activations are learned as
in LSQ (Esser et al., 2020, arXiv 1902.08153). Where AdaRound (arXiv 2004.10568) reconstructs layer by layer, the whole
network is tuned for its own float answers here; no labels are needed.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn

from edgetl.compress.graph import Layer, layers_of
from edgetl.compress.grids import Grid
from edgetl.compress.plan import Plan, RoundedLayer, Simulation
from edgetl.compress.points import input_point, is_gate, output_point
from edgetl.compress.widths import Width

__all__ = ["reconstruct"]

_BATCH_PIXELS = 16 * 224 * 224
_LARGEST_BATCH = 32
_BIAS_RATE, _SCALE_RATE, _CODE_RATE = 0.02, 2e-3, 3e-3
"""Of biases in steps of the layer's output, of steps in their logarithm, of weights in codes."""


def reconstruct(
    graph: fx.GraphModule,
    plan: Plan,
    width: Callable[[Layer], Width],
    images_NHWC: NDArray[np.uint8],
    *,
    steps: int,
    seed: int,
    advance: Callable[[], None] = lambda: None,
) -> Plan:
    """Tune a plan.

    Args:
        graph: What the plan is for.
        plan: Where to start.
        width: Bounds on the weights.
        images_NHWC: Images, `(N, H, W, 3)`; each step sees some of them, shifted a little.
        steps: Optimizer steps.
        seed: Seeds the choice of images.
        advance: Called after each step.
    """
    height, wide = images_NHWC.shape[1:3]
    batch = min(_LARGEST_BATCH, len(images_NHWC), max(2, _BATCH_PIXELS // (height * wide)))
    floats, tuned = Simulation(graph, Plan({}, {})), _Tuned(graph, plan, width)
    optimizer = torch.optim.Adam(tuned.groups(), betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    random = np.random.default_rng(seed)
    for _ in range(steps):
        picks = random.choice(len(images_NHWC), batch, replace=False)
        images = torch.from_numpy(_shifted(images_NHWC[picks], random))
        with torch.no_grad():
            wanted_NK = floats.run(images)
        answers_NK = tuned.run(images).clamp_min(1e-9)
        loss = nn.functional.kl_div(answers_NK.log(), wanted_NK, reduction="batchmean")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        advance()
    return tuned.finished()


def _shifted(images_NHWC: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """The images moved by up to a sixteenth of the side, their edges drawn out."""
    height, width = images_NHWC.shape[1:3]
    down, right = (int(random.integers(-(side // 16), side // 16 + 1)) for side in (height, width))
    rows = (np.arange(height) + down).clip(0, height - 1)
    return images_NHWC[:, rows][:, :, (np.arange(width) + right).clip(0, width - 1)]


class _Round(torch.autograd.Function):
    """Codes within bounds; gradients pass where nothing is cut off."""

    @staticmethod
    def forward(context: Any, codes_OC: torch.Tensor, width: Width) -> torch.Tensor:
        rounded_OC = width.nearest(codes_OC)
        context.save_for_backward((rounded_OC - codes_OC).abs() <= 1)
        return rounded_OC

    @staticmethod
    def backward(context: Any, gradient_OC: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient_OC * context.saved_tensors[0], None


class _Tuned(Simulation):
    """A plan with parameters."""

    def __init__(self, graph: fx.GraphModule, plan: Plan, width: Callable[[Layer], Width]) -> None:
        super().__init__(graph, plan)
        layers = {layer.node.name: layer for layer in layers_of(graph)}
        self._widths = {name: width(layers[name]) for name in plan.layers}
        self._codes = {name: nn.Parameter(each.codes.flatten(1).float()) for name, each in plan.layers.items()}
        self._biases = {name: nn.Parameter(each.bias_O.clone()) for name, each in plan.layers.items()}
        fixed = {input_point(graph).name, *(node.name for node in graph.graph.nodes if is_gate(node))}
        self._scales = {
            name: nn.Parameter(torch.tensor([math.log(grid.scale)]))
            for name, grid in plan.grids.items()
            if name not in fixed
        }
        self._output = {name: output_point(layers[name].node).name for name in plan.layers}

    def groups(self) -> list[dict[str, Any]]:
        """Parameters with their rates."""
        grids = self.plan.grids
        steps = {name: grids[point].scale if point in grids else 0.05 for name, point in self._output.items()}
        return [
            *({"params": [bias], "lr": _BIAS_RATE * steps[name]} for name, bias in self._biases.items()),
            {"params": list(self._scales.values()), "lr": _SCALE_RATE},
            {"params": list(self._codes.values()), "lr": _CODE_RATE},
        ]

    def rounded(self, name: str) -> RoundedLayer | None:
        """A layer with its weights as they are now."""
        if name not in self._codes:
            return None
        given = self.plan.layers[name]
        codes_OC: torch.Tensor = _Round.apply(self._codes[name], self._widths[name])  # type: ignore[no-untyped-call]
        return replace(given, codes=codes_OC.view_as(given.codes), bias_O=self._biases[name])

    def on_grid(self, name: str, values: torch.Tensor) -> torch.Tensor:
        """A tensor rounded to its grid as it is now."""
        grid = self.plan.grids.get(name)
        if grid is None or name not in self._scales:
            return super().on_grid(name, values)
        share = 1 / math.sqrt(values[0].numel() * grid.top)
        zero = torch.tensor([float(grid.zero_point)])
        rounded: torch.Tensor = torch._fake_quantize_learnable_per_tensor_affine(
            values, self._scales[name].exp(), zero, 0, grid.top, share
        )
        return rounded

    @torch.no_grad()
    def finished(self) -> Plan:
        """The plan as it is now."""
        layers = {}
        for name in self.plan.layers:
            rounded = self.rounded(name)
            assert rounded
            layers[name] = replace(rounded, codes=rounded.codes.to(torch.int8), bias_O=rounded.bias_O.detach().clone())
        grids = {
            name: Grid(float(self._scales[name].exp()), grid.zero_point, grid.bits) if name in self._scales else grid
            for name, grid in self.plan.grids.items()
        }
        return replace(self.plan, layers=layers, grids=grids)
