"""The interval of the control run: right on data whose truth is known."""

import numpy as np
import pytest

from edgetl.distill.paired import Gain, paired_gain


def simulated(rng, *, gain, seed_spread, image_spread, seeds=3, images=300):
    """Answers of two ways of training: each image and each seed moves the chance that the first one is right."""
    base_N = rng.uniform(0.4, 0.8, images)
    of_seed_S1, of_image_N = rng.normal(0, seed_spread, (seeds, 1)), rng.normal(0, image_spread, images)
    better_SN = np.clip(base_N + gain + of_seed_S1 + of_image_N, 0, 1)
    draw_SN = rng.uniform(size=(seeds, images))
    return draw_SN < better_SN, rng.uniform(size=(seeds, images)) < base_N


@pytest.mark.parametrize(("seeds", "seed_spread"), [(1, 0.0), (2, 0.03), (3, 0.0), (3, 0.03), (8, 0.03)])
def test_the_interval_holds_the_truth_as_often_as_it_says(seeds, seed_spread):
    rng = np.random.default_rng(seeds)
    tries, held = 400, 0
    for _ in range(tries):
        found = paired_gain(*simulated(rng, gain=0.05, seed_spread=seed_spread, image_spread=0.1, seeds=seeds))
        held += found.low <= 5.0 <= found.high
    # 95 % of 400 is 380, give or take three deviations of 4.4; it may be wider than it need be, never narrower.
    assert held >= 366
    assert held < tries or seed_spread == 0 or seeds == 2


def test_one_seed_is_the_paired_interval_of_the_images():
    with_SN = np.array([[True] * 60 + [False] * 40])
    without_SN = np.array([[True] * 50 + [False] * 50])
    found = paired_gain(with_SN, without_SN)
    deviation = np.std([0.0] * 90 + [1.0] * 10, ddof=1) / 10
    assert found.points == pytest.approx(10)
    assert found.low == pytest.approx(100 * (0.1 - 1.9842169515 * deviation))
    assert (found.seeds, found.images, found.verdict) == (1, 100, "helped")


def test_luck_of_a_seed_widens_the_interval():
    """The same mean gain from equal seeds and from seeds that disagree."""
    rng = np.random.default_rng(0)
    without_SN = rng.uniform(size=(3, 400)) < 0.5
    steady, moody = without_SN.copy(), without_SN.copy()
    for seed, flips in enumerate((20, 20, 20)):
        steady[seed, np.flatnonzero(~without_SN[seed])[:flips]] = True
    for seed, flips in enumerate((0, 0, 60)):
        moody[seed, np.flatnonzero(~without_SN[seed])[:flips]] = True
    steady_gain, moody_gain = paired_gain(steady, without_SN), paired_gain(moody, without_SN)
    assert steady_gain.points == pytest.approx(moody_gain.points)
    assert (steady_gain.verdict, moody_gain.verdict) == ("helped", "did not help")


def test_equal_answers_are_no_gain():
    same_SN = np.random.default_rng(0).uniform(size=(3, 50)) < 0.7
    found = paired_gain(same_SN, same_SN)
    assert (found.points, found.low, found.high, found.verdict) == (0, 0, 0, "did not help")


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="cannot compare"):
        paired_gain(np.ones((2, 5), bool), np.ones((2, 4), bool))


def test_the_sentence_says_how_much_and_how_sure():
    helped = Gain(1.83, 0.91, 2.57, seeds=3, images=1000)
    assert helped.sentence() == "The teacher helped by +1.8 (0.9 to 2.6) points, over 1000 test images and 3 seeds."
    assert Gain(-1.0, -2.0, -0.1, 3, 10).sentence().startswith("The teacher hurt: -1.0 (-2.0 to -0.1) points")
    unsure = Gain(0.4, -0.5, 1.3, seeds=1, images=10).sentence()
    assert unsure.startswith("The teacher did not help: +0.4 (-0.5 to 1.3) points")
    assert "1 seed, whose luck is not in the interval" in unsure
