"""The learning rate of every step."""

import math

import pytest

from edgetl.train.schedule import one_cycle


def rates(total_steps, warmup_fraction=0.25, peak=0.01):
    return [one_cycle(s, total_steps, peak=peak, warmup_fraction=warmup_fraction) for s in range(total_steps)]


def test_it_starts_at_a_25th_peaks_at_the_turn_and_ends_near_nothing():
    rates_S = rates(101)
    assert rates_S[0] == pytest.approx(0.01 / 25)
    assert rates_S[25] == pytest.approx(0.01)
    assert rates_S[100] == pytest.approx(0.01 / 250_000)
    assert rates_S[:26] == sorted(rates_S[:26])
    assert rates_S[25:] == sorted(rates_S[25:], reverse=True)


def test_it_is_a_cosine_half_way_up_and_half_way_down():
    rates_S = rates(9, warmup_fraction=0.5, peak=1.0)
    assert rates_S[2] == pytest.approx((1 / 25 + 1) / 2)
    assert rates_S[6] == pytest.approx((1 + 1 / 250_000) / 2)
    assert rates_S[1] == pytest.approx(1 + (1 / 25 - 1) * (1 + math.cos(math.pi / 4)) / 2)


def test_it_equals_the_schedule_of_pytorch():
    import torch

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.01, total_steps=41, pct_start=0.25, final_div_factor=10_000, cycle_momentum=False
    )
    # PyTorch turns one step earlier than a quarter of the way: at pct_start * total_steps - 1.
    ours = [one_cycle(s, 41, peak=0.01, warmup_fraction=(0.25 * 41 - 1) / 40) for s in range(41)]
    found = []
    for _ in range(41):
        found.append(theirs.get_last_lr()[0])
        optimizer.step()
        if len(found) < 41:
            theirs.step()
    assert found == pytest.approx(ours, rel=1e-6)


@pytest.mark.parametrize("total_steps", [1, 2, 3])
@pytest.mark.parametrize("warmup_fraction", [0.01, 0.25, 0.99])
def test_the_shortest_trainings_have_a_rate_too(total_steps, warmup_fraction):
    assert all(0 < rate <= 0.01 for rate in rates(total_steps, warmup_fraction))
