"""The learning rate of every step."""

import math

import pytest

from edgetl.recipe.networks import ModelConfig
from edgetl.train.schedule import cosine, one_cycle, plateaus, rate_of_step


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


SCHEDULES = ("one-cycle", "cosine", "constant", "plateau")


def scheduled(schedule, total_steps=40, warmup_fraction=0.25, val_losses=()):
    config = ModelConfig(model="any", schedule=schedule, warmup_fraction=warmup_fraction)
    return [rate_of_step(config, s, total_steps, peak=0.01, val_losses=val_losses) for s in range(total_steps)]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_rises_to_the_peak_in_its_warm_up(schedule):
    rates_S = scheduled(schedule)
    assert rates_S[:10] == sorted(rates_S[:10])
    assert rates_S[0] < 0.0015
    assert max(rates_S) == rates_S[10] == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_without_a_warm_up_the_first_rate_is_the_peak(schedule):
    assert scheduled(schedule, warmup_fraction=0.0)[0] == pytest.approx(0.01)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("total_steps", [1, 2, 3])
@pytest.mark.parametrize("warmup_fraction", [0.0, 0.5, 0.99])
def test_the_shortest_trainings_have_a_rate_by_every_schedule(schedule, total_steps, warmup_fraction):
    assert all(0 < rate <= 0.01 for rate in scheduled(schedule, total_steps, warmup_fraction))


def test_the_cosine_equals_that_of_pytorch():
    import torch

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.01)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=30)
    found = []
    for _ in range(30):
        found.append(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
    assert [cosine(s, 30, peak=0.01, warmup_fraction=0.0) for s in range(30)] == pytest.approx(found, rel=1e-6)
    assert scheduled("cosine")[10:] == pytest.approx(found, rel=1e-6), "after the warm-up"


def test_a_constant_rate_stays():
    assert set(scheduled("constant")[10:]) == {0.01}


LOSSES = [5.0, 4.0, 4.0, 4.1, 3.9999, 3.0, 3.0, 3.0, 3.0, 3.5, 3.2, 3.1, 2.0, 2.5, 2.5, 2.5, 2.5]


def test_a_plateau_is_where_pytorch_sees_one():
    import torch

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=2)
    for count, loss in enumerate(LOSSES, start=1):
        theirs.step(loss)
        assert 0.1 ** plateaus(LOSSES[:count]) == pytest.approx(optimizer.param_groups[0]["lr"])
    assert plateaus(LOSSES) == 4


def test_a_plateau_divides_the_rate():
    assert scheduled("plateau", val_losses=LOSSES)[-1] == pytest.approx(0.01 / 10_000)
