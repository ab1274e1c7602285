"""Formats that can share the same integers, and the best plan for them so far."""

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
        held_out: Images outside the calibration, on which plans are compared.
        width: Bounds on the weights.
        in_float: Layers that one of the formats cannot quantize.
        ranges: The first range estimator.
        advance: Called after each layer of the first plan.
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
        """The plan whose answers diverge least so far."""
        self.unscaled = self.plan
        """The best plan without scaled channels: only its layers can be left in float with the trained weights."""
        self.sensitivities: list[Sensitivity] | None = None
        """The cost of each part; None until it is measured."""
        self.divergence = self.divergence_of(self.plan)

    @property
    def graph(self) -> fx.GraphModule:
        """The graph that the plan belongs to."""
        return self.planner.graph_of(self.plan)

    def divergence_of(self, plan: Plan) -> float:
        """The divergence of a plan's answers from the float network's, in nats."""
        answers_NK = Simulation(self.planner.graph_of(plan), plan).predict(self._held_out.images_NHWC)
        return divergence(self._held_out.reference_NK, answers_NK)

    def adopt(self, plan: Plan, *, scaled: bool = False) -> bool:
        """Adopt a plan if it is better than the best one; returns whether it is.

        Args:
            plan: For the same graph.
            scaled: Whether channels were scaled, so that its layers differ from the trained ones.
        """
        found = self.divergence_of(plan)
        if better := found < self.divergence:
            self.plan, self.divergence = plan, found
            self.unscaled = self.unscaled if scaled else plan
        return better
