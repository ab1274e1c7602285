"""A plan: the integer weights of each layer, and the grid of each quantized tensor."""

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
    """In float; it includes the compensation for other roundings."""

    @property
    def weight(self) -> torch.Tensor:
        """The dequantized weights."""
        return self.codes.float() * self.scales_O.view(-1, *[1] * (self.codes.dim() - 1))


@dataclass(frozen=True)
class Plan:
    """The integer form of a folded graph, from which every format's writer works."""

    layers: Mapping[str, RoundedLayer]
    """By the name of the layer's node; layers that are missing stay in float."""

    grids: Mapping[str, Grid]
    """By the name of the node whose output is quantized."""

    pixels: bool = False
    """Whether the input's codes are the pixels themselves; see `centre_pixels`."""

    activations: Activations = "static"
    """Tensors use the grids (`static`), inputs of layers use the range of each image (`dynamic`), or nothing is rounded
    (`float`)."""

    alone: Mapping[str, RoundedLayer] = field(default_factory=dict)
    """The layers without compensation for the roundings of other layers."""

    dead: tuple[str, ...] = field(default=())
    """Layers whose output is the same for every calibration image and position."""


class Simulation(fx.Interpreter):
    """Computes what integer runtimes compute from a plan, up to their own rounding of sums.

    Args:
        graph: The folded graph.
        plan: What to round.
    """

    def __init__(self, graph: fx.GraphModule, plan: Plan) -> None:
        super().__init__(graph)
        self.plan = plan
        self._layers: dict[str, Layer] = {layer.node.name: layer for layer in layers_of(graph)}

    def run_node(self, n: fx.Node) -> object:
        """Compute a node's output, and quantize it if the plan does."""
        rounded = self.rounded(n.name)
        if rounded is None:
            output = super().run_node(n)
        else:
            inputs = self.fetch_args_kwargs_from_env(n)[0][0]
            output = self._layers[n.name].compute(inputs, rounded.weight, rounded.bias_O)
        return self.on_grid(n.name, output)

    def rounded(self, name: str) -> RoundedLayer | None:
        """A layer's integers, by its node; None if it stays in float or is no layer."""
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
