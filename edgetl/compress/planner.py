"""Plans for one network: its graph made ready once, then as many plans as are asked for."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgetl.compress.centre import centre_pixels, first_layer
from edgetl.compress.graph import copied, folded_graph, layers_of
from edgetl.compress.plan import Plan
from edgetl.compress.points import input_point
from edgetl.compress.sweep import SweepSettings, sweep
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
    """

    def __init__(self, deployable: Deployable, contract: Contract, images_NHWC: NDArray[np.uint8]) -> None:
        self.traced = folded_graph(deployable, contract)
        """The graph as it was traced, in which a file's tensors are found again."""

        self.probes_NHWC = images_NHWC[:_PROBES]
        """Images that tell tensors apart."""

        self._images_NHWC = images_NHWC
        self.centred = copied(self.traced)
        """The graph that is planned, with the mean on a whole pixel value where that can be."""

        self._input = centre_pixels(self.centred)

    @property
    def layers(self) -> int:
        """How many layers have weights to round."""
        return sum(1 for _ in layers_of(self.traced))

    def plan(self, settings: SweepSettings, advance: Callable[[], None] = lambda: None) -> Plan:
        """Quantize after training; `advance` is called after each layer."""
        first = first_layer(self.traced)
        if self._input is None or first is None or first.name in settings.in_float:  # its bias stays, so the mean must
            return sweep(self.traced, self._images_NHWC, settings, advance=advance)
        fixed = {input_point(self.centred).name: self._input}
        plan = sweep(self.centred, self._images_NHWC, settings, fixed=fixed, advance=advance)
        return replace(plan, pixels=True)
