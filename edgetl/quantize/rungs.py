"""The rungs of the ladder: ways to bring the quantized network's answers closer to float, in order of their cost."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from torch import fx

from edgetl.quantize.calibration import affordable_count
from edgetl.quantize.equalization import equalize
from edgetl.quantize.family import Family
from edgetl.quantize.graph import copied, layers_of
from edgetl.quantize.plan import Plan
from edgetl.quantize.qat import train_aware
from edgetl.quantize.recall import digest_of
from edgetl.quantize.reconstruction import reconstruct
from edgetl.quantize.sensitivity import Sensitivity, Unit, measure, measurements, relaxed
from edgetl.quantize.sweep import SweepSettings
from edgetl.quantize.widths import paired_width
from edgetl.recipe.fields import QuantizeConfig, Ranges, Rung
from edgetl.runs.reporter import Reporter
from edgetl.runs.stage import StageContext

__all__ = ["RUNGS", "Climb", "Draft", "measured"]

_ESTIMATORS: tuple[Ranges, ...] = ("mse", "entropy", "percentile", "minmax")
_SENSITIVITY_IMAGES = 64
_MOST_UNITS = 0.5
"""Of all parts; with more in float, a network is hardly quantized."""


@dataclass(frozen=True)
class Draft:
    """A plan to judge."""

    plan: Plan | None
    """None if the rung found nothing better."""

    note: str
    """What was chosen, for people."""

    in_float: tuple[str, ...] = ()
    """Layers left in float on purpose."""


_NOTHING = Draft(None, "nothing better")


@dataclass(frozen=True)
class Climb:
    """Input of the rungs."""

    context: StageContext
    trained: dict[frozenset[str], Draft] = field(default_factory=dict)
    """Results of quantization-aware training, by the layers that stay in float; one training serves all formats."""

    @property
    def config(self) -> QuantizeConfig:
        """The options of quantization."""
        return self.context.recipe.quantize

    @property
    def reporter(self) -> Reporter:
        """Receives the progress."""
        return self.context.reporter


def _rounding(_climb: Climb, family: Family) -> Iterator[Draft]:
    """Sound defaults for the target's instructions: compensated rounding, corrected biases, one range estimator."""
    yield Draft(family.plan, f"{family.ranges} ranges")


def _ranges(climb: Climb, family: Family) -> Iterator[Draft]:
    """Every other range estimator; the best one if it is better."""
    others = [each for each in _ESTIMATORS if each != family.ranges]
    plans: dict[str, Plan] = {}
    with climb.reporter.track("Other ranges", len(others) * family.planner.layers) as advance:
        for estimator in others:
            settings = SweepSettings(family.width, estimator, in_float=family.in_float)
            plan = family.planner.plan(settings, partial(advance, 1, estimator))
            if family.adopt(plan):
                plans[estimator] = plan
    found = list(plans.items())[-1:]
    yield Draft(found[0][1], f"{found[0][0]} ranges") if found else _NOTHING


def _equalization(climb: Climb, family: Family) -> Iterator[Draft]:
    """Channels of one tensor scaled to the same range."""
    if family.in_float:  # the layers of the file would not be scaled
        yield _NOTHING
        return
    groups: list[int] = []

    def equalized(graph: fx.GraphModule) -> None:
        groups.append(equalize(graph, family.planner.images_NHWC))

    with climb.reporter.track("Equalization", family.planner.layers) as advance:
        settings = SweepSettings(family.width, family.ranges)
        plan = family.planner.plan(settings, partial(advance, 1, ""), change=equalized)
    if not groups:  # the plan was known
        equalized(copied(family.planner.graph_of(plan)))
    better = groups[0] and family.adopt(plan, scaled=True)
    yield Draft(plan, f"channels of {groups[0]} tensors scaled") if better else _NOTHING


def _reconstruction(climb: Climb, family: Family) -> Iterator[Draft]:
    """Biases, steps and weights tuned together for the float network's answers."""
    with climb.reporter.track("Reconstruction", climb.config.reconstruction_steps, even=True) as advance:
        steps, seed = climb.config.reconstruction_steps, climb.context.recipe.seed
        plan = family.planner.recall.plan(
            ["reconstruction", digest_of(family.plan), family.width.__name__, steps, seed],
            lambda: reconstruct(
                family.graph,
                family.plan,
                family.width,
                family.planner.images_NHWC,
                steps=steps,
                seed=seed,
                advance=partial(advance, 1, ""),
            ),
        )
    better = family.adopt(plan, scaled=family.plan is not family.unscaled)
    yield Draft(plan, f"{climb.config.reconstruction_steps} steps") if better else _NOTHING


def _mixed(climb: Climb, family: Family) -> Iterator[Draft]:
    """The most costly parts left in float: one, then two, four and so on."""
    found = sorted(measured(family, climb.reporter), key=lambda each: -each.alone.divergence)
    count = 1
    while count <= _MOST_UNITS * len(found):
        with climb.reporter.track("Mixed", family.planner.layers) as advance:
            plan, in_float = _mix(
                family, [each.unit for each in found[:count]], partial(advance, 1, f"{count} in float")
            )
        yield Draft(plan, "1 part in float" if count == 1 else f"{count} parts in float", in_float)
        count *= 2


def _mix(family: Family, units: list[Unit], advance: Callable[[], None]) -> tuple[Plan, tuple[str, ...]]:
    """A plan with units in float, and the names of the layers that are there then.

    What they cost, the biases behind them have made up for: a plan is made anew, and taken if it is better.
    """
    graph, plan = family.planner.graph_of(family.unscaled), family.unscaled
    left = relaxed(graph, plan, units)
    in_float = tuple(
        layer.name for layer in layers_of(graph) if layer.node.name in plan.layers.keys() - left.layers.keys()
    )
    settings = SweepSettings(
        family.width,
        family.ranges,
        in_float=family.in_float.union(in_float),
        free=frozenset(plan.grids) - left.grids.keys(),
    )
    return min(left, family.planner.plan(settings, advance), key=family.divergence_of), in_float


def _qat(climb: Climb, family: Family) -> Iterator[Draft]:
    """The student trained on as integers, once for all formats."""
    if climb.context.processes.count > 1:
        climb.reporter.say("qat: left out, as it trains in one process. 'edgetl quantize' by itself does it.")
        yield _NOTHING
        return
    if family.in_float not in climb.trained:
        # Weights that fit 16-bit sums fit every format.
        settings = SweepSettings(paired_width, family.ranges, in_float=family.in_float)
        plan = family.unscaled if family.width is paired_width else family.planner.plan(settings)
        plan, records = train_aware(climb.context, family.planner.graph_of(plan), plan)
        note = f"{len(records)} epochs"
        climb.trained[family.in_float] = Draft(plan, note)
    yield climb.trained[family.in_float]


def measured(family: Family, reporter: Reporter) -> list[Sensitivity]:
    """The cost of each part of a family's plan, in order of computation; measured once."""
    if family.sensitivities is None:
        graph, plan, images_NHWC = family.planner.graph_of(family.unscaled), family.unscaled, family.planner.images_NHWC
        few_NHWC = images_NHWC[: affordable_count(_SENSITIVITY_IMAGES, *images_NHWC.shape[1:3])]
        with reporter.track("Sensitivity", measurements(graph, plan, few_NHWC)) as advance:
            family.sensitivities = measure(graph, plan, few_NHWC, partial(advance, 1, ""))
    return family.sensitivities


RUNGS: Mapping[Rung, Callable[[Climb, Family], Iterator[Draft]]] = {
    "rounding": _rounding,
    "ranges": _ranges,
    "equalization": _equalization,
    "reconstruction": _reconstruction,
    "mixed": _mixed,
    "qat": _qat,
}
"""By name, in order of their cost."""
