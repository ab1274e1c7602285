"""Mixup and CutMix for training on labels: the pixels, the shares, and which images are mixed in."""

import numpy as np
import pytest

from edgetl.data.dataset import ViewDataset
from edgetl.data.grid import ViewGrid
from edgetl.data.loader import Order, training_batches
from edgetl.data.views import Views, mixing
from edgetl.recipe.images import AugmentConfig
from edgetl.runner.contract import Contract
from edgetl.train.task import LabelTeaching

CONTRACT = Contract(("cat", "dog"), height=16, width=24)


def views_of(**augment):
    return Views(CONTRACT, AugmentConfig(**augment), seed=4).for_labels()


def drawn(count=2000, **augment):
    views = views_of(**augment)
    return [mixing(views, view=number % 7, sample=number, count=50) for number in range(count)]


@pytest.fixture
def index(pets, open_folder):
    """Eleven images to train on."""
    return open_folder(pets)


def test_without_an_alpha_nothing_is_mixed():
    assert not views_of().mixes
    assert views_of() == Views(CONTRACT, AugmentConfig(), seed=4)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_the_share_has_the_beta_distribution(alpha):
    shares = np.array([each.share for each in drawn(mixup=alpha)])
    assert shares.mean() == pytest.approx(0.5, abs=0.03)
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)
    assert len({each.partner for each in drawn(mixup=alpha)}) == 50
    assert all(each.box is None for each in drawn(mixup=alpha))


def test_the_share_of_a_box_is_its_area():
    found = drawn(cutmix=1.0)
    for each in found:
        left, top, right, bottom = each.box
        assert 0 <= left <= right <= 24
        assert 0 <= top <= bottom <= 16
        assert each.share == pytest.approx((right - left) * (bottom - top) / (24 * 16))
    # Of a box that lies anywhere, a part is cut off: the mean is below that of the distribution.
    assert 0.25 < np.mean([each.share for each in found]) < 0.45
    assert max(each.share for each in found) > 0.9


def test_with_both_alphas_half_of_the_views_have_a_box():
    boxes = sum(each.box is not None for each in drawn(mixup=0.2, cutmix=1.0))
    assert 900 < boxes < 1100


@pytest.mark.parametrize(("mixup", "cutmix"), [(1.0, 0.0), (0.0, 1.0)])
def test_a_mixed_view_shows_both_views_by_their_shares(index, mixup, cutmix):
    views, plain = views_of(mixup=mixup, cutmix=cutmix), views_of()
    samples = index.split("train")
    blended, alone = (ViewDataset(index, samples, each) for each in (views, plain))
    for number in range(20):
        what = blended.mixing((3, number))
        mixed, own, other = (
            dataset[position, number][0].astype(int)
            for dataset, position in ((blended, 3), (alone, 3), (alone, what.partner))
        )
        if what.box:
            left, top, right, bottom = what.box
            inside = np.zeros((16, 24, 1), bool)
            inside[top:bottom, left:right] = True
            np.testing.assert_array_equal(mixed, np.where(inside, other, own))
        else:
            np.testing.assert_allclose(mixed, (1 - what.share) * own + what.share * other, atol=0.51)


@pytest.mark.parametrize("classes", [None, (0, 0, 0, 1)])
def test_only_images_that_are_learned_from_are_mixed_in(index, classes):
    samples, chosen = index.split("train"), (1, 4, 6, 9)
    order = Order(4, 2, seed=0, chosen=chosen, classes=classes)
    dataset = ViewDataset(index, samples, views_of(mixup=1.0), order.partners)
    partners = [dataset.mixing((4, number)).partner for number in range(400)]
    assert set(partners) == set(chosen)
    share = partners.count(9) / 400
    assert share == pytest.approx(0.25 if classes is None else 0.5, abs=0.08), "drawn as often as its class"


def test_a_training_mixes_in_none_of_the_others(index):
    samples = index.split("train")
    cats = tuple(position for position, sample in enumerate(samples) if sample.label == 0)
    order = Order(len(cats), 2, seed=0, chosen=cats)
    for batch in training_batches(index, samples, views_of(mixup=1.0), order, range(6), workers=0):
        assert batch.partner_labels_N.tolist() == [0, 0]


def test_a_batch_says_what_was_mixed_in(index):
    samples = index.split("train")
    order = Order(len(samples), 4, seed=0)
    batches = list(training_batches(index, samples, views_of(mixup=1.0), order, range(4), workers=0))
    again = list(training_batches(index, samples, views_of(mixup=1.0), order, range(2, 4), workers=0))
    for batch, same in zip(batches[2:], again, strict=True):
        np.testing.assert_array_equal(batch.images_NHWC, same.images_NHWC)
        np.testing.assert_array_equal(batch.partner_shares_N, same.partner_shares_N)
    shares = np.concatenate([batch.partner_shares_N for batch in batches])
    assert shares.min() < 0.3 < 0.7 < shares.max()


def test_every_second_view_is_mixed_and_only_within_a_group(index):
    samples = index.split("train")
    groups = tuple(position % 3 for position in range(len(samples)))
    views = Views(CONTRACT, AugmentConfig(), seed=4, mixup=0.5, every_second=True, groups=groups)
    mixed, plain = ViewDataset(index, samples, views), ViewDataset(index, samples, Views(CONTRACT, AugmentConfig(), 4))
    partners = set()
    for number in range(40):
        for position, group in enumerate(groups):
            what = mixed.mixing((position, number))
            assert (what is not None) == (number % 2 == 0)
            if what:
                assert groups[what.partner] == group
                assert what.share <= 0.5
                partners.add(what.partner)
    assert partners == set(range(len(samples)))
    np.testing.assert_array_equal(mixed[3, 3][0], plain[3, 3][0])
    assert (mixed[3, 2][0] != plain[3, 2][0]).any()


def test_the_labels_of_a_grid_are_mixed_as_its_images(index):
    samples = index.split("train")
    views = Views(CONTRACT, AugmentConfig(), seed=4, mixup=0.5, every_second=True)
    grid = ViewGrid(index, samples, views, 4, evaluation=True)
    targets_RNK = LabelTeaching(0.0).targets(grid, 2)
    dataset, one_hot_NK = ViewDataset(index, samples, views), np.eye(2)[[sample.label for sample in samples]]
    np.testing.assert_array_equal(targets_RNK[[0, 2, 4]], np.broadcast_to(one_hot_NK, (3, *one_hot_NK.shape)))
    for position, row in enumerate(targets_RNK[1]):
        what = dataset.mixing((position, 0))
        own, other = one_hot_NK[position], one_hot_NK[what.partner]
        np.testing.assert_allclose(row, (1 - what.share) * own + what.share * other, atol=1e-6)
