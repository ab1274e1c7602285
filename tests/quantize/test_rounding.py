"""Weights become integers that change a layer's output least."""

import pytest
import torch

from edgetl.quantize.rounding import input_products, lattice_step, round_weights, weight_scales
from edgetl.quantize.widths import Width

RNG = torch.Generator().manual_seed(0)
WEIGHT = torch.randn(12, 40, generator=RNG)
CORRELATED = torch.randn(500, 6, generator=RNG) @ torch.randn(6, 40, generator=RNG) + 3


def output_error(codes, scales_O, inputs, weight=WEIGHT):
    difference = (codes.float() * scales_O[:, None] - weight) @ inputs.T
    return float((difference - difference.mean(1, keepdim=True)).pow(2).mean())


@pytest.mark.parametrize("top", [127, 63, 7])
def test_codes_stay_within_the_width(top):
    for products in (None, input_products(CORRELATED)):
        codes = round_weights(WEIGHT, weight_scales(WEIGHT, Width(top)), Width(top), products)
        assert codes.dtype == torch.int8
        assert codes.abs().max() <= top


def test_evenly_spaced_weights_lose_nothing():
    codes = torch.randint(-120, 121, (12, 40), generator=RNG)
    weight = codes * 0.0173
    assert lattice_step(weight) == pytest.approx(0.0173)
    scales_O = weight_scales(weight, Width(127))
    assert (round_weights(weight, scales_O, Width(127)) == codes).all()


def test_other_weights_have_no_lattice():
    assert lattice_step(WEIGHT) is None


def test_a_channel_too_wide_for_the_lattice_gets_a_step_of_its_own():
    codes = torch.randint(-60, 61, (12, 40), generator=RNG)
    codes[0, 0] = 120
    scales_O = weight_scales(codes * 0.01, Width(63))
    torch.testing.assert_close(scales_O[1:], torch.full((11,), 0.01))
    assert scales_O[0] > 0.012


def test_compensation_halves_the_error_of_correlated_inputs():
    scales_O = weight_scales(WEIGHT, Width(7))
    nearest = round_weights(WEIGHT, scales_O, Width(7))
    compensated = round_weights(WEIGHT, scales_O, Width(7), input_products(CORRELATED))
    assert output_error(compensated, scales_O, CORRELATED) < output_error(nearest, scales_O, CORRELATED) / 2


def test_compensation_works_across_blocks():
    weight = torch.randn(8, 150, generator=RNG)
    inputs = torch.randn(600, 10, generator=RNG) @ torch.randn(10, 150, generator=RNG)
    scales_O = weight_scales(weight, Width(7))
    errors = [
        output_error(round_weights(weight, scales_O, Width(7), products), scales_O, inputs, weight)
        for products in (None, input_products(inputs))
    ]
    assert errors[1] < errors[0] / 4


def test_each_depthwise_channel_has_inputs_of_its_own():
    weight = torch.randn(5, 1, 3, 3, generator=RNG)
    columns = torch.randn(5, 300, 2, generator=RNG) @ torch.randn(5, 2, 9, generator=RNG)
    scales_O = weight_scales(weight, Width(7))
    together = round_weights(weight, scales_O, Width(7), input_products(columns))
    for channel in range(5):
        own = slice(channel, channel + 1)
        alone = round_weights(weight[own], scales_O[own], Width(7), input_products(columns[own]))
        assert (together[channel] == alone[0]).all()


def test_inputs_that_never_move_are_no_trouble():
    inputs = CORRELATED.clone()
    inputs[:, 5] = 0
    scales_O = weight_scales(WEIGHT, Width(127))
    assert round_weights(WEIGHT, scales_O, Width(127), input_products(inputs)).abs().max() <= 127
