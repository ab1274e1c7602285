"""The time of plans, told before they are made."""

import pytest
import torch
from nets import contract, images, network

from edgetl.quantize.estimate import planning_seconds
from edgetl.quantize.planner import Planner
from edgetl.quantize.recall import Recall
from edgetl.quantize.sweep import SweepSettings

ALL, THIRD = slice(None), slice(0, None, 3)


@pytest.fixture
def planner(tmp_path):
    return Planner(network(), contract(), images(24), Recall(tmp_path))


def test_known_plans_take_no_time(planner, monkeypatch):
    settings = SweepSettings()
    planner.plan(settings)
    monkeypatch.setattr("edgetl.quantize.estimate.fastest_seconds", lambda _: pytest.fail("timed in vain"))
    assert planning_seconds(planner, [(settings, ALL)]) == 0.0


def test_every_unknown_plan_counts_and_fewer_images_are_faster(planner, monkeypatch):
    monkeypatch.setattr("edgetl.quantize.estimate.fastest_seconds", lambda _: 1.0)
    one, third = (planning_seconds(planner, [(SweepSettings(), part)]) for part in (ALL, THIRD))
    assert one - third == pytest.approx((24 - 8) / 8), "a sweep of 8 images took a second"
    both = [(SweepSettings(), ALL), (SweepSettings(estimator="minmax"), ALL)]
    assert planning_seconds(planner, both) == pytest.approx(2 * one)
    planner.plan(SweepSettings())
    assert planning_seconds(planner, both) == pytest.approx(one)


def test_what_is_timed_runs_and_leaves_the_random_numbers_alone(planner):
    before = torch.get_rng_state()
    assert planning_seconds(planner, [(SweepSettings(), ALL)]) > 0
    assert torch.equal(torch.get_rng_state(), before)
