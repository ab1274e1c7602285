"""Rung after rung, until the bounds are kept: real files, judged in their runtime."""

import re
from copy import copy
from dataclasses import dataclass, replace

import pytest
import small_run
from heard import Heard
from nets import contract, images
from PIL import Image

from edgetl.devices.local import LocalDevice
from edgetl.export.formats import SUFFIX
from edgetl.quantize.attempts import Trials
from edgetl.quantize.family import Family
from edgetl.quantize.formats import quantizer_for
from edgetl.quantize.grids import Grid
from edgetl.quantize.judge import HeldOut, Judge
from edgetl.quantize.ladder import Ladder, Open
from edgetl.quantize.plan import Plan, Simulation
from edgetl.quantize.planner import Planner
from edgetl.quantize.rungs import Climb, _mix
from edgetl.quantize.sensitivity import relaxed, units_of
from edgetl.quantize.sweep import SweepSettings, sweep
from edgetl.quantize.widths import paired_width
from edgetl.recipe.fields import RUNGS, QuantizeConfig, Recipe
from edgetl.runs.quiet import quiet
from edgetl.runs.verdict import Limits

UNTRAINED = tuple(rung for rung in RUNGS if rung != "qat")
VALIDATION = images(120, seed=1)


pytestmark = pytest.mark.usefixtures("runner_inside")


@dataclass
class Case:
    """What climbing needs."""

    planner: Planner
    family: Family
    judge: Judge
    sources: dict

    def fresh(self):
        """The family as it is before the first rung."""
        return copy(self.family)


@pytest.fixture(scope="module")
def case(planner, sources, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ladder")
    reference_NK = Simulation(planner.traced, Plan({}, {})).predict(VALIDATION)
    files = [folder / f"{number:03}.png" for number in range(len(VALIDATION))]
    for path, image_HWC in zip(files, VALIDATION, strict=True):
        Image.fromarray(image_HWC).save(path)
    labels_N = reference_NK.argmax(1)
    held_out = HeldOut(VALIDATION[:40], labels_N[:40], reference_NK[:40])
    # For any CPU: without dot-product instructions ONNX Runtime gets larger weights wrong.
    family = Family(planner, held_out, paired_width, frozenset(), "mse")
    return Case(planner, family, Judge(files, labels_N, reference_NK, LocalDevice(), threads=1), sources)


def asked(rungs, reporter):
    """The context of a stage with these rungs."""
    recipe = Recipe(quantize=QuantizeConfig(rungs=rungs, reconstruction_steps=4))
    return replace(small_run.context(None, None, recipe), reporter=reporter)


def climbed(case, folder, limits, rungs=UNTRAINED, spoil=None, formats=("onnx",)):
    """Formats after climbing, and what was said."""
    family = case.fresh()
    if spoil:
        spoil(family)
    opened = []
    for name in formats:
        with quiet():
            quantizer = quantizer_for(name, case.sources[name], case.planner.traced, case.planner.probes_NHWC)
        opened.append(Open(name, "w8a8", folder / f"model.w8a8{SUFFIX[name]}", quantizer, family))
    heard = Heard()
    Ladder(Climb(asked(rungs, heard)), Trials(case.judge, limits, heard), contract()).climb(opened)
    return opened, heard


def blurred(family):
    """One tensor on a grid of few values, as a bad calibration might leave it."""
    name = next(name for name in family.plan.grids if name.startswith("add"))
    grid = family.plan.grids[name]
    coarse = replace(grid, scale=grid.scale * 128, zero_point=1)
    family.plan = family.unscaled = replace(family.plan, grids={**family.plan.grids, name: coarse})
    family.divergence = family.divergence_of(family.plan)


def test_the_first_rung_is_enough_where_the_bounds_are_wide(case, tmp_path):
    opened, heard = climbed(case, tmp_path, Limits(0.1, 0.1), formats=("onnx", "openvino"))
    for each in opened:
        assert [attempt.rung for attempt in each.attempts] == ["rounding"]
        assert each.passed
        assert each.file.is_file()
        assert each.best.judgement.score.flips < 0.1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.w8a8.bin", "model.w8a8.onnx", "model.w8a8.xml"]
    assert re.match(
        r"onnx w8a8, rounding \(mse ranges\): top-1 [\d.]+% \([\d.]+ to [\d.]+%\), drop [-\d.]+ ± ", heard.lines[0]
    )


def test_a_format_climbs_until_it_is_inside(case, tmp_path):
    (each,), _ = climbed(case, tmp_path, Limits(0.08, 0.08), spoil=blurred)
    first, *_, last = each.attempts
    assert first.judgement.score.flips > 0.08
    assert not first.passed
    assert last.passed
    assert last.rung == "ranges"  # a new plan for all tensors mends the one
    assert each.best is last


def test_what_costs_most_is_left_in_float(case, tmp_path):
    (each,), _ = climbed(case, tmp_path, Limits(0.08, 0.08), rungs=("rounding", "mixed"), spoil=blurred)
    last = each.attempts[-1]
    assert (last.rung, last.note, last.passed) == ("mixed", "1 part in float", True)
    assert "second.0.0" in last.in_float  # which reads the spoilt tensor
    assert len(last.in_float) < 4


def test_around_what_is_left_in_float_a_new_plan_is_made(case):
    """The plan's biases have made up for a rounding that is no longer there."""
    family = case.fresh()
    name = next(name for name in family.plan.grids if name.startswith("add"))
    coarse = Grid(family.plan.grids[name].scale * 32, 4)
    fixed = {each: grid for each, grid in family.plan.grids.items() if grid.zero_point == 0} | {name: coarse}
    plan = sweep(family.graph, case.planner.images_NHWC, SweepSettings(paired_width), fixed=fixed)
    family.plan = family.unscaled = replace(plan, pixels=family.plan.pixels)
    unit = next(each for each in units_of(family.graph, family.plan) if name in each.nodes)
    mixed, in_float = _mix(family, [unit], lambda: None)
    assert name not in mixed.grids
    assert "second.0.0" in in_float
    assert family.divergence_of(mixed) < family.divergence_of(relaxed(family.graph, family.unscaled, [unit]))


def test_without_a_way_in_the_best_file_stays(case, tmp_path):
    impossible = Limits(-1.0, 1.0)
    (each,), heard = climbed(case, tmp_path, impossible, spoil=blurred)
    assert not each.passed
    assert {attempt.rung for attempt in each.attempts} == set(UNTRAINED)
    drops = [attempt.judgement.score.drop for attempt in each.attempts if attempt.judgement]
    assert each.best.judgement.score.drop == min(drops) < max(drops)
    assert case.judge.judge(each.file).score == each.best.judgement.score
    assert all(line.endswith(("out of bounds", "(nothing better)")) for line in heard.lines)


def test_a_rung_that_finds_nothing_better_is_on_the_receipt(case, tmp_path):
    """Ranges that were chosen once are no better the second time."""
    rungs = ("rounding", "ranges", "ranges")
    (each,), heard = climbed(case, tmp_path, Limits(-1.0, 1.0), rungs=rungs, spoil=blurred)
    assert tuple(attempt.rung for attempt in each.attempts) == rungs
    idle = each.attempts[-1]
    assert (idle.judgement, idle.note, idle.problem, idle.passed) == (None, "nothing better", "", False)
    assert heard.lines[-1] == "onnx w8a8, ranges (nothing better)"
    assert each.best is each.attempts[1]


def test_a_ladder_without_its_first_rung_still_gives_a_file(case, tmp_path):
    def final(family):
        family.divergence = 0.0  # nothing is better

    (each,), _ = climbed(case, tmp_path, Limits(1.0, 1.0), rungs=("ranges",), spoil=final)
    assert (each.best.note, each.passed, each.file.is_file()) == ("nothing better", True, True)


def test_a_file_that_does_not_run_is_one_line_of_the_receipt(case, tmp_path):
    class Breaks:
        def write(self, _plan, _contract, file):
            file.write_bytes(b"nothing")
            return ()

    family = case.fresh()
    each = Open("onnx", "w8a8", tmp_path / "model.w8a8.onnx", Breaks(), family)
    trials = Trials(case.judge, Limits(0.1, 1.0), Heard())
    Ladder(Climb(asked(("rounding",), Heard())), trials, contract()).climb([each])
    (attempt,) = each.attempts
    assert (attempt.judgement, attempt.passed, each.best) == (None, False, None)
    assert "onnxruntime cannot open it" in attempt.problem
    assert list(tmp_path.iterdir()) == []
    assert attempt.to_dict()["measured"] is None
