"""Plans for one network: its graph is prepared once, for any number of plans."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import fx

from edgetl.quantize.centre import centre_pixels, first_layer
from edgetl.quantize.graph import copied, folded_graph, layers_of
from edgetl.quantize.plan import Plan
from edgetl.quantize.points import input_point
from edgetl.quantize.recall import FORGETFUL, Recall
from edgetl.quantize.sweep import SweepSettings, sweep
from edgetl.runner.contract import Contract
from edgetl.zoo.deployable import Deployable

__all__ = ["Planner"]

_PROBES = 2


class Planner:
    """Plans the integer form of a network.

    Args:
        deployable: The network.
        contract: Its contract.
        images_NHWC: Calibration images, `(N, H, W, 3)`.
        recall: Keeps plans.
    """

    def __init__(
        self, deployable: Deployable, contract: Contract, images_NHWC: NDArray[np.uint8], recall: Recall = FORGETFUL
    ) -> None:
        self.recall = recall
        self.traced = folded_graph(deployable, contract)
        """The graph as traced; a file's tensors are matched with it."""

        self.probes_NHWC = images_NHWC[:_PROBES]
        """Images that identify a file's tensors by their values."""

        self.images_NHWC = images_NHWC
        self.centred = copied(self.traced)
        """The graph that is planned, with the mean moved to a whole pixel value if possible."""

        self._input = centre_pixels(self.centred)

    @property
    def layers(self) -> int:
        """Number of layers with weights."""
        return sum(1 for _ in layers_of(self.traced))

    def plan(
        self,
        settings: SweepSettings,
        advance: Callable[[], None] = lambda: None,
        *,
        part: slice = slice(None),
        change: Callable[[fx.GraphModule], object] | None = None,
    ) -> Plan:
        """Quantize after training, unless that was done before.

        Args:
            settings: What may be chosen.
            advance: Called after each layer.
            part: Which of the calibration images to take.
            change: Changes a copy of the graph, which must still compute the same, before it is planned.
        """
        return self.recall.plan(_key(settings, part, change), lambda: self._made(settings, advance, part, change))

    def knows(self, settings: SweepSettings, *, part: slice = slice(None)) -> bool:
        """Whether that plan was made before."""
        return self.recall.has_plan(_key(settings, part))

    def _made(
        self,
        settings: SweepSettings,
        advance: Callable[[], None],
        part: slice,
        change: Callable[[fx.GraphModule], object] | None,
    ) -> Plan:
        first = first_layer(self.traced)
        # A first layer in float keeps its bias, and so needs the original mean.
        pixels = (
            settings.activations == "static"
            and self._input is not None
            and first is not None
            and first.name not in settings.in_float
        )
        graph = self.centred if pixels else self.traced
        if change:
            graph = copied(graph)
            change(graph)
        fixed = {input_point(graph).name: self._input} if pixels and self._input else {}
        plan = sweep(graph, self.images_NHWC[part], settings, fixed=fixed, advance=advance)
        return replace(plan, pixels=pixels)

    def graph_of(self, plan: Plan) -> fx.GraphModule:
        """The graph that a plan belongs to."""
        return self.centred if plan.pixels else self.traced


def _key(
    settings: SweepSettings, part: slice, change: Callable[[fx.GraphModule], object] | None = None
) -> list[object]:
    return [settings.to_dict(), [part.start, part.stop, part.step], change.__name__ if change else ""]
