"""The probe: it takes what predicts best, and its score is that of images that it has not seen."""

from dataclasses import replace

import numpy as np
import pytest

from edgetl.train.fitted_head import logits_of
from edgetl.train.folds import folds_of
from edgetl.train.luck import enough_errors, is_better
from edgetl.train.probe import Examples, fit_probe, refit

CLASSES, WIDTH, VIEWS = 3, 12, 5


def examples(images, *, noise_of_views, spread=1.0, seed=0):
    """Images of three classes: a plain view, and noisy ones."""
    rng = np.random.default_rng(seed)
    labels_N = np.arange(images) % CLASSES
    centres_KD = np.eye(CLASSES, WIDTH) * 2
    plain_ND = centres_KD[labels_N] + spread * rng.normal(size=(images, WIDTH))
    noise = np.array([0.0, *[noise_of_views] * (VIEWS - 1)])[:, None, None]
    features_RND = (plain_ND + noise * rng.normal(size=(VIEWS, images, WIDTH))).astype(np.float32)
    targets_RNK = np.broadcast_to(np.eye(CLASSES, dtype=np.float32)[labels_N], (VIEWS, images, CLASSES))
    return Examples(features_RND, targets_RNK, labels_N, np.ones(images, np.float32))


def test_folds_judge_each_image_once_and_divide_classes_evenly():
    labels_N = [0] * 10 + [1] * 9 + [2]
    folds = folds_of(labels_N, 4, seed=0)
    judged = np.concatenate([judge for _, judge in folds])
    assert sorted(judged) == list(range(20))
    assert {len(judge) for _, judge in folds} == {5}
    for learn, judge in folds:
        assert not set(learn) & set(judge)
        assert 2 <= sum(np.array(labels_N)[judge] == 0) <= 3
    assert [judge.tolist() for _, judge in folds_of(labels_N, 4, seed=0)] == [judge.tolist() for _, judge in folds]
    assert [judge.tolist() for _, judge in folds_of(labels_N, 4, seed=1)] != [judge.tolist() for _, judge in folds]


def test_fewer_images_than_folds_are_refused():
    with pytest.raises(ValueError, match="3 images for 4 folds"):
        folds_of([0, 1, 2], 4, seed=0)


def test_its_score_is_that_of_images_it_has_not_seen():
    few = examples(60, noise_of_views=0.3, spread=2.0)
    probe = fit_probe(few, folds_of(few.labels_N, 4, seed=0))
    many = examples(6000, noise_of_views=0.3, spread=2.0, seed=7)
    head = refit(few, probe, np.arange(60))
    fresh = (logits_of(head, many.features_RND[0]).argmax(1) == many.labels_N).mean()
    seen = (logits_of(head, few.features_RND[0]).argmax(1) == few.labels_N).mean()
    assert abs(probe.top1 - fresh) < 0.15
    assert seen > fresh + 0.05


def test_views_that_mislead_are_left_out_and_those_that_help_are_used():
    helping, misleading = examples(90, noise_of_views=0.5), examples(90, noise_of_views=0.0)
    folds = folds_of(helping.labels_N, 4, seed=0)
    other_RND = misleading.features_RND.copy()
    other_RND[1:] = -other_RND[1:]
    assert fit_probe(helping, folds).views == VIEWS
    assert fit_probe(replace(misleading, features_RND=other_RND), folds).views == 1


@pytest.mark.parametrize(("images", "is_tried"), [(27, True), (300, False)])
def test_class_means_are_tried_under_ten_images_a_class(images, is_tried, monkeypatch):
    few = examples(images, noise_of_views=0.3)
    asked = []
    import edgetl.train.probe as module

    original = module._means
    monkeypatch.setattr(module, "_means", lambda *given: asked.append(given[3]) or original(*given))
    fit_probe(few, folds_of(few.labels_N, 4, seed=0))
    assert asked == (["class means", "cosine"] if is_tried else [])


@pytest.mark.parametrize("kind", ["class means", "cosine"])
def test_heads_of_means_name_the_nearest_class(kind):
    from edgetl.train.probe import _mean_head

    own = examples(60, noise_of_views=0.1, spread=0.3)
    features_SD, targets_SK = own.samples(1, np.arange(60))
    head = _mean_head(features_SD, targets_SK, kind, 4.0)
    means_KD = np.stack([features_SD[own.labels_N == label].mean(0) for label in range(CLASSES)])
    if kind == "cosine":
        unit_SD = features_SD / np.linalg.norm(features_SD, axis=1, keepdims=True)
        unit_KD = np.stack([unit_SD[own.labels_N == label].mean(0) for label in range(CLASSES)])
        nearest_S = (unit_SD @ (unit_KD / np.linalg.norm(unit_KD, axis=1, keepdims=True)).T).argmax(1)
    else:
        nearest_S = ((features_SD[:, None] - means_KD) ** 2).sum(2).argmin(1)
    np.testing.assert_array_equal(logits_of(head, features_SD).argmax(1), nearest_S)
    assert logits_of(head, features_SD).std() == pytest.approx(4.0, rel=0.3)


def outcomes(wins, losses, both=50, neither=0):
    """Whether a candidate and a champion are right, per image."""
    candidate = [True] * wins + [False] * losses + [True] * both + [False] * neither
    champion = [False] * wins + [True] * losses + [True] * both + [False] * neither
    return np.array(candidate), np.array(champion)


@pytest.mark.parametrize(
    ("wins", "losses", "better"), [(0, 0, False), (2, 0, False), (3, 0, True), (20, 12, False), (25, 10, True)]
)
def test_better_means_by_more_than_luck(wins, losses, better):
    assert is_better(*outcomes(wins, losses)) is better


def test_shares_of_views_tell_what_single_views_cannot():
    rng = np.random.default_rng(0)
    candidate_RN, champion_RN = (rng.random((9, 200)) < share for share in (0.66, 0.6))
    assert not is_better(candidate_RN[0], champion_RN[0])
    assert is_better(candidate_RN.mean(0), champion_RN.mean(0))
    assert not is_better(champion_RN.mean(0), candidate_RN.mean(0))


def test_a_champion_of_few_mistakes_cannot_be_beaten():
    _, champion = outcomes(7, 0)
    assert not enough_errors(champion)
    _, champion = outcomes(8, 0)
    assert enough_errors(champion)
