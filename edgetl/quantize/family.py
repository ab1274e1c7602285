"""Formats that can be given the same integers, and the plans that are made for them, one after the other."""

from collections.abc import Callable

from torch import fx

from edgetl.quantize.graph import Layer
from edgetl.quantize.judge import HeldOut
from edgetl.quantize.plan import Plan, Simulation
from edgetl.quantize.planner import Planner
from edgetl.quantize.sensitivity import Sensitivity, divergence
from edgetl.quantize.sweep import SweepSettings
from edgetl.quantize.widths import Width
from edgetl.recipe.fields import Ranges

__all__ = ["Family"]


class Family:
    """Formats with the same bounds on weights and the same layers in float.

    Args:
        planner: Makes plans.
        held_out: Images that no plan is made from, by which plans are compared.
        width: Bounds on the weights.
        in_float: Layers that one of the formats cannot round.
        ranges: How activation ranges are chosen at first.
        advance: Called after each layer that is planned.
    """

    def __init__(
        self,
        planner: Planner,
        held_out: HeldOut,
        width: Callable[[Layer], Width],
        in_float: frozenset[str],
        ranges: Ranges,
        advance: Callable[[], None] = lambda: None,
    ) -> None:
        self.planner, self.width, self.in_float, self.ranges = planner, width, in_float, ranges
        self._held_out = held_out
        self.plan = planner.plan(SweepSettings(width, ranges, in_float=in_float), advance)
        """The best so far, by the divergence of its answers."""
        self.unscaled = self.plan
        """The best one whose layers may be left in float, where they have the trained weights."""
        self.sensitivities: list[Sensitivity] | None = None
        """What its parts cost, once somebody wanted to know."""
        self.divergence = self.divergence_of(self.plan)

    @property
    def graph(self) -> fx.GraphModule:
        """What the plan is for."""
        return self.planner.graph_of(self.plan)

    def divergence_of(self, plan: Plan) -> float:
        """How far a plan's answers are from the float network's, in nats."""
        answers_NK = Simulation(self.planner.graph_of(plan), plan).predict(self._held_out.images_NHWC)
        return divergence(self._held_out.reference_NK, answers_NK)

    def adopt(self, plan: Plan, *, scaled: bool = False) -> bool:
        """Take a plan if it is better than the best one; tells whether.

        Args:
            plan: For the same graph.
            scaled: Whether its layers have other weights than the trained ones, times a factor for each channel.
        """
        found = self.divergence_of(plan)
        if better := found < self.divergence:
            self.plan, self.divergence = plan, found
            self.unscaled = self.unscaled if scaled else plan
        return better
