"""Views that come again: the same picture, moved a little and perhaps mirrored."""

import numpy as np
import pytest

from edgetl.data.repeats import varied

SIDE, REACH = 32, 2


@pytest.fixture
def images():
    """Noise, in which any shift can be told from any other."""
    return np.random.default_rng(0).integers(0, 256, (40, SIDE, SIDE, 3), np.uint8)


def vary(images, *, seed=0, step=0, mirror=True, share=(0, 1)):
    return varied(images, seed=seed, step=step, mirror=mirror, share=share)


def how(result_HWC, image_HWC):
    """The shift and whether it is mirrored, seen from the outside."""
    padded_HWC = np.pad(image_HWC, ((REACH, REACH), (REACH, REACH), (0, 0)), mode="reflect")
    for top in range(2 * REACH + 1):
        for left in range(2 * REACH + 1):
            moved_HWC = padded_HWC[top : top + SIDE, left : left + SIDE]
            for mirrored in (False, True):
                if np.array_equal(result_HWC, moved_HWC[:, ::-1] if mirrored else moved_HWC):
                    return (top - REACH, left - REACH), mirrored
    raise AssertionError("the result is no shift of the image by a sixteenth of its side at most")


def test_a_batch_is_shifted_together_and_about_half_of_it_is_mirrored(images):
    found = [how(*pair) for pair in zip(vary(images), images, strict=True)]
    assert len({shift for shift, _ in found}) == 1
    assert 10 <= sum(mirrored for _, mirrored in found) <= 30


def test_every_shift_comes_in_time(images):
    shifts = {how(vary(images[:1], step=step)[0], images[0])[0] for step in range(400)}
    reach = range(-REACH, REACH + 1)
    assert shifts == {(down, right) for down in reach for right in reach}


def test_what_must_not_be_mirrored_is_not(images):
    found = [how(*pair)[1] for pair in zip(vary(images, mirror=False), images, strict=True)]
    assert not any(found)


def test_seed_and_step_alone_decide(images):
    first = vary(images, seed=1, step=7)
    assert np.array_equal(first, vary(images, seed=1, step=7))
    assert not np.array_equal(first, vary(images, seed=2, step=7))
    assert not np.array_equal(first, vary(images, seed=1, step=8))


def test_processes_vary_their_parts_as_one_would_vary_all(images):
    together = vary(images, step=3)
    for rank in (0, 1):
        part = vary(images[rank::2], step=3, share=(rank, 2))
        assert np.array_equal(part, together[rank::2])
