"""The head: it is the minimum that a well-known library finds, for any weights of the samples and soft targets, too."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression as Reference

from edgetl.train.fitted_head import Head, cross_entropy, logits_of
from edgetl.train.logistic import LogisticRegression

SAMPLES, WIDTH, CLASSES = 300, 20, 4


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    labels_S = rng.integers(0, CLASSES, SAMPLES)
    centres_KD = rng.normal(size=(CLASSES, WIDTH))
    features_SD = (rng.normal(size=(SAMPLES, WIDTH)) * np.geomspace(4, 0.1, WIDTH) + centres_KD[labels_S] + 3).astype(
        "f4"
    )
    return features_SD, labels_S


def one_hot(labels_S):
    return np.eye(CLASSES, dtype=np.float32)[labels_S]


@pytest.mark.parametrize("factor", [1e-1, 1e-3, 1e-5])
def test_it_finds_the_minimum_of_scikit_learn(problem, factor):
    features_SD, labels_S = problem
    ours = LogisticRegression(features_SD, one_hot(labels_S))
    weights_S = np.ones(SAMPLES, np.float32)
    weights_S[:100] = 0
    penalty = factor * ours.scale
    head = ours.solve(penalty, weights_S, tolerance=1e-6)
    theirs = Reference(C=1 / (penalty * 200), max_iter=10_000, tol=1e-8).fit(features_SD[100:], labels_S[100:])
    largest = np.abs(theirs.coef_).max()
    np.testing.assert_allclose(head.weight_KD, theirs.coef_, atol=2e-2 * largest)
    probabilities = theirs.predict_proba(features_SD)
    logits_SK = logits_of(head, features_SD)
    own = np.exp(logits_SK) / np.exp(logits_SK).sum(1, keepdims=True)
    np.testing.assert_allclose(own, probabilities, atol=5e-3)


def test_soft_targets_of_a_head_give_the_head_back(problem):
    features_SD, _ = problem
    rng = np.random.default_rng(1)
    wanted = Head(rng.normal(size=(CLASSES, WIDTH)).astype("f4") / 4, np.zeros(CLASSES, np.float32))
    logits_SK = logits_of(wanted, features_SD)
    targets_SK = np.exp(logits_SK) / np.exp(logits_SK).sum(1, keepdims=True)
    ours = LogisticRegression(features_SD, targets_SK)
    head = ours.solve(1e-7 * ours.scale, np.ones(SAMPLES, np.float32), tolerance=1e-7)
    least = cross_entropy(logits_SK, targets_SK).mean()
    assert cross_entropy(logits_of(head, features_SD), targets_SK).mean() == pytest.approx(least, abs=1e-4)


def test_more_features_than_samples_are_no_problem(problem):
    features_SD, labels_S = problem
    wide_SD = np.concatenate([features_SD, np.random.default_rng(2).normal(size=(SAMPLES, 500)).astype("f4")], 1)[:40]
    ours = LogisticRegression(wide_SD, one_hot(labels_S[:40]))
    head = ours.solve(1e-4 * ours.scale, np.ones(40, np.float32))
    assert (logits_of(head, wide_SD).argmax(1) == labels_S[:40]).all()


def test_a_start_changes_the_way_and_not_the_result(problem):
    features_SD, labels_S = problem
    ours = LogisticRegression(features_SD, one_hot(labels_S))
    even_S = np.ones(SAMPLES, np.float32)
    far = ours.solve(ours.scale, even_S)
    cold, warm = (ours.solve(1e-3 * ours.scale, even_S, start, tolerance=1e-6) for start in (None, far))
    np.testing.assert_allclose(cold.weight_KD, warm.weight_KD, atol=1e-3)
