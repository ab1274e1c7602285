"""What quantization decided: for each layer its integer weights, for each rounded tensor its grid."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx

from edgetl.quantize.graph import Layer, layers_of
from edgetl.quantize.grids import Grid

__all__ = ["Activations", "Plan", "RoundedLayer", "Simulation"]

Activations = Literal["static", "dynamic", "float"]

_BATCH = 32


@dataclass(frozen=True)
class RoundedLayer:
    """A layer as integers."""

    codes: torch.Tensor
    """Weights, `int8`, `(O, I, kH, kW)` or `(O, I)`."""

    scales_O: torch.Tensor
    """Step of each output channel."""

    bias_O: torch.Tensor
    """In float; it holds what makes up for the other roundings."""

    @property
    def weight(self) -> torch.Tensor:
        """What the codes stand for."""
        return self.codes.float() * self.scales_O.view(-1, *[1] * (self.codes.dim() - 1))


@dataclass(frozen=True)
class Plan:
    """The integer form of a folded graph, which every format's writer carries out."""

    layers: Mapping[str, RoundedLayer]
    """By the name of the layer's node; a layer that is not here stays in float."""

    grids: Mapping[str, Grid]
    """By the name of the node whose output is rounded."""

    pixels: bool = False
    """Whether the input's codes are the pixels themselves; see `centre_pixels`."""

    activations: Activations = "static"
    """Whether tensors are rounded to the grids, or what layers read to the range of each image, or nothing."""

    alone: Mapping[str, RoundedLayer] = field(default_factory=dict)
    """The layers with weights and biases that make up for no other layer's rounding, only for their own."""

    dead: tuple[str, ...] = field(default=())
    """Layers whose output was the same for every calibration image and place."""


class Simulation(fx.Interpreter):
    """Computes what integer runtimes compute from a plan, up to the rounding of their own arithmetic.

    Args:
        graph: The folded graph.
        plan: What to round.
    """

    def __init__(self, graph: fx.GraphModule, plan: Plan) -> None:
        super().__init__(graph)
        self.plan = plan
        self._layers: dict[str, Layer] = {layer.node.name: layer for layer in layers_of(graph)}

    def run_node(self, n: fx.Node) -> object:
        """Compute a node's output, rounded where the plan says so."""
        rounded = self.rounded(n.name)
        if rounded is None:
            output = super().run_node(n)
        else:
            inputs = self.fetch_args_kwargs_from_env(n)[0][0]
            output = self._layers[n.name].compute(inputs, rounded.weight, rounded.bias_O)
        return self.on_grid(n.name, output)

    def rounded(self, name: str) -> RoundedLayer | None:
        """A layer's integers, by its node; None if it computes in float, or is none."""
        return self.plan.layers.get(name)

    def on_grid(self, name: str, values: torch.Tensor) -> torch.Tensor:
        """A node's output as it is stored."""
        grid = self.plan.grids.get(name)
        return grid.round(values) if grid else values

    @torch.inference_mode()
    def predict(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities, `(N, K)`."""
        parts = [self.run(torch.from_numpy(images_NHWC[i : i + _BATCH])) for i in range(0, len(images_NHWC), _BATCH)]
        probabilities_NK: NDArray[np.float32] = torch.cat(parts).numpy()
        return probabilities_NK
