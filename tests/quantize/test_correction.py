"""Weights that make up for what their inputs have lost."""

import pytest
import torch

from edgetl.quantize.correction import Correction

OUTPUTS, INPUTS = 6, 12


def inputs(places, seed, own=False):
    """Inputs that hang together, and what is left of them once they were rounded coarsely."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(3, INPUTS, generator=torch.Generator().manual_seed(0))
    shape = (OUTPUTS, places, 3) if own else (places, 3)
    floats = torch.randn(shape, generator=generator) @ mixing + 0.1 * torch.randn(
        *shape[:-1], INPUTS, generator=generator
    )
    return floats.round(), floats


def error(weight, used, rounded, floats):
    """Squared error of a layer's outputs about their means, which the bias takes."""
    one = "oi,opi->po" if rounded.dim() == 3 else "oi,pi->po"
    lost = torch.einsum(one, weight, floats) - torch.einsum(one, used, rounded)
    return float((lost - lost.mean(0)).square().sum())


@pytest.fixture
def weight():
    return torch.randn(OUTPUTS, INPUTS, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("own", [False, True], ids=["shared inputs", "own inputs"])
def test_outputs_on_other_places_come_nearer_to_the_float_ones(weight, own):
    moved = Correction(weight, *inputs(3000, 2, own)).weight()
    others = inputs(3000, 3, own)
    assert error(weight, moved, *others) < 0.7 * error(weight, weight, *others)


@pytest.mark.parametrize("own", [False, True], ids=["shared inputs", "own inputs"])
def test_the_gain_is_what_the_error_loses(weight, own):
    places = inputs(300, 2, own)
    correction, other = Correction(weight, *places), weight + 0.05
    # Means are taken of each third of the places, so that the thirds can be told apart.
    thirds = [[each.chunk(3, -2)[third] for each in places] for third in range(3)]
    gains = [error(weight, weight, *third) - error(weight, other, *third) for third in thirds]
    assert correction.gain(other) == pytest.approx(sum(gains), rel=1e-4)


def test_weights_stay_where_nothing_is_lost(weight):
    _, floats = inputs(3000, 2)
    assert Correction(weight, floats, floats).weight() is None


def test_chance_is_not_learned(weight):
    _, floats = inputs(60, 2)
    lost = torch.randn(floats.shape, generator=torch.Generator().manual_seed(4))
    moved = Correction(weight, floats, floats + lost).weight()
    assert moved is None or float((moved - weight).norm() / weight.norm()) < 0.2


def test_few_places_move_the_weights_less_than_many(weight):
    def moved(places):
        _, floats = inputs(places, 2)
        chance = 2 * torch.randn(floats.shape, generator=torch.Generator().manual_seed(4))
        found = Correction(weight, floats, 1.3 * floats + chance).weight()
        return float((found - weight).norm())

    assert moved(60) < 0.5 * moved(3000)


def test_one_place_says_nothing(weight):
    assert Correction(weight, *inputs(1, 2)).weight() is None


def test_an_input_that_never_changes_is_no_trouble(weight):
    rounded, floats = inputs(300, 2)
    rounded[:, 0] = floats[:, 0] = 0
    moved = Correction(weight, rounded, floats).weight()
    assert moved.isfinite().all()
    torch.testing.assert_close(moved[:, 0], weight[:, 0])
