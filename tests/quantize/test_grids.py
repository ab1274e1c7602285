"""Grids and how they are chosen."""

import pytest
import torch

from edgetl.quantize.grids import Grid, Histogram, estimate_grid, grid_between

ESTIMATORS = ["minmax", "percentile", "mse", "entropy"]
BELL = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
WITH_OUTLIER = torch.cat([BELL, torch.tensor([60.0])])


def top_of(grid):
    return (grid.top - grid.zero_point) * grid.scale


@pytest.mark.parametrize(("low", "high"), [(-1.0, 3.0), (0.5, 3.0), (-3.0, -0.5), (0.0, 0.0)])
def test_zero_is_exact(low, high):
    assert grid_between(low, high).round(torch.zeros(1)).item() == 0


def test_values_outside_saturate():
    grid = Grid(0.5, 10)
    assert grid.round(torch.tensor([-100.0, 1000.0])).tolist() == [-5.0, 122.5]


def test_minmax_clips_nothing():
    grid = estimate_grid(Histogram([WITH_OUTLIER]), "minmax")
    assert top_of(grid) == pytest.approx(60, abs=0.3)


@pytest.mark.parametrize("estimator", ["percentile", "entropy"])
def test_these_do_not_follow_an_outlier(estimator):
    grid = estimate_grid(Histogram([WITH_OUTLIER]), estimator)
    assert 2 < top_of(grid) < 45


def test_mse_errs_least():
    def error(estimator):
        grid = estimate_grid(Histogram([WITH_OUTLIER]), estimator)
        return float((grid.round(WITH_OUTLIER) - WITH_OUTLIER).abs().pow(2.5).mean())

    assert error("mse") == min(error(estimator) for estimator in ESTIMATORS)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_positive_values_use_every_code(estimator):
    assert estimate_grid(Histogram([BELL.abs()]), estimator).zero_point == 0


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("value", [0.0, 6.0])
def test_a_constant_has_a_grid(estimator, value):
    grid = estimate_grid(Histogram([torch.full((10,), value)]), estimator)
    assert grid.round(torch.tensor([value])).item() == pytest.approx(value)


def test_parts_count_as_one():
    parts, whole = Histogram([BELL[:5000], BELL[5000:]]), Histogram([BELL])
    assert (parts.counts == whole.counts).all()
