"""The probe: the best linear head of a frozen network, by cross-validation. It takes seconds and is hard to beat.

Candidates are logistic regressions on the plain images and on all their views, each with the penalty that predicts best
what it has not seen. Under ten images a class also the nearest class mean (Mensink et al., TPAMI 2013) and the nearest
direction (the cosine head of Gidaris and Komodakis, arXiv 1804.09458); both are linear heads, too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from edgetl.train.fitted_head import Head, cross_entropy, logits_of
from edgetl.train.folds import Fold
from edgetl.train.hidden import HiddenFit, fitted_heads
from edgetl.train.logistic import LogisticRegression

__all__ = ["Examples", "Probe", "fit_probe", "refit"]

_PENALTIES = tuple(float(factor) for factor in np.geomspace(1e-1, 1e-6, 11))
"""In units of the features' variance, from the strongest."""

_FEW = 10
"""Images a class under which class means are tried."""

_SCALES = tuple(float(scale) for scale in np.geomspace(0.25, 64, 17))
"""Factors of the logits of class means, in units of their standard deviation."""

_ROUGH = 1e-4


@dataclass(frozen=True)
class Examples:
    """Features of images with what shall be answered."""

    features_RND: NDArray[np.float32]
    """The first row is that of the evaluation views, by which heads are judged."""

    targets_RNK: NDArray[np.float32]
    """Probabilities of the classes."""

    labels_N: NDArray[np.int64]
    weights_N: NDArray[np.float32]
    """How much each image counts."""

    def samples(self, views: int, positions: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Features `(S, D)` and targets `(S, K)` of the first views of some images."""
        features = self.features_RND[:views, positions]
        targets = self.targets_RNK[:views, positions]
        return features.reshape(-1, features.shape[-1]), targets.reshape(-1, targets.shape[-1])

    def weights(self, views: int, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Weights `(S,)` of the same samples."""
        return np.tile(self.weights_N[positions], views)


@dataclass(frozen=True)
class Probe:
    """A kind of head, and how well it answers on images that it was not fitted on."""

    kind: str
    """'logistic regression', 'class means' or 'cosine'."""

    views: int
    """Views of each image that it is fitted on."""

    strength: float
    """The penalty of a regression, relative to the features' variance; the scale of the others."""

    right_N: NDArray[np.bool_]
    """Whether it is right, per judged image in the order of the folds."""

    loss: float
    """Mean cross-entropy on the judged images, each with its weight, in nats."""

    hidden: HiddenFit | None = None
    """How the layer beside a regression is fitted, if there is one."""

    epochs: int = 0
    """Passes over the samples in which it is fitted."""

    @property
    def top1(self) -> float:
        """Fraction of the judged images that are right."""
        return float(self.right_N.mean())

    def sentence(self) -> str:
        """What it is, in words."""
        views = "the plain images" if self.views == 1 else f"{self.views} views of each image"
        hidden = f" and {self.hidden.units} hidden units" if self.hidden else ""
        return f"{self.kind}{hidden} on {views}"


def fit_probe(examples: Examples, folds: Sequence[Fold], hidden: HiddenFit | None = None) -> Probe:
    """Find the best head.

    Args:
        examples: Features of the images.
        folds: By which it is judged; an image that none judges serves to learn from alone.
        hidden: Fits a hidden layer beside the best regression, too.
    """
    rows = len(examples.features_RND)
    candidates = [_regression(examples, folds, views) for views in dict.fromkeys((1, rows))]
    if hidden:
        candidates.append(_beside(examples, folds, min(candidates, key=lambda each: each.loss), hidden))
    learned = np.unique(np.concatenate([learn for learn, _ in folds]))
    labels = examples.labels_N[learned]
    if np.bincount(labels[labels >= 0]).max() < _FEW:
        candidates += [_means(examples, folds, rows, kind) for kind in ("class means", "cosine")]
    return min(candidates, key=lambda candidate: candidate.loss)


def refit(examples: Examples, probe: Probe, learn: NDArray[np.int64]) -> Head:
    """Fit a head of a probe's kind on some images."""
    features_SD, targets_SK = examples.samples(probe.views, learn)
    if probe.kind != "logistic regression":
        return _mean_head(features_SD, targets_SK, probe.kind, probe.strength)
    problem, weights_S = LogisticRegression(features_SD, targets_SK), examples.weights(probe.views, learn)
    head = problem.solve(probe.strength * problem.scale, weights_S)
    if not probe.hidden:
        return head
    heads = fitted_heads(head, features_SD, targets_SK, weights_S, probe.hidden)
    return next(islice(heads, probe.epochs - 1, None))


def _regression(examples: Examples, folds: Sequence[Fold], views: int) -> Probe:
    """The logistic regression with the best penalty; penalties are lowered until that no longer helps."""
    used = np.unique(np.concatenate([np.concatenate(fold) for fold in folds]))
    learned = np.unique(np.concatenate([learn for learn, _ in folds]))
    problem = LogisticRegression(*examples.samples(views, learned))
    place_N = np.full(used.max() + 1, -1)
    place_N[learned] = np.arange(len(learned))
    heads: list[Head | None] = [None] * len(folds)
    best: Probe | None = None
    for factor in _PENALTIES:
        for number, (learn, _) in enumerate(folds):
            weights_VN = np.zeros((views, len(learned)), np.float32)
            weights_VN[:, place_N[learn]] = examples.weights_N[learn]
            heads[number] = problem.solve(
                factor * problem.scale, weights_VN.reshape(-1), heads[number], tolerance=_ROUGH
            )
        judged = ((head, judge) for head, (_, judge) in zip(heads, folds, strict=True) if head)
        found = _judged(examples, judged, Probe("logistic regression", views, factor, np.zeros(0, np.bool_), 0.0))
        if best and found.loss > best.loss:
            break
        best = found
    assert best is not None
    return best


def _beside(examples: Examples, folds: Sequence[Fold], regression: Probe, hidden: HiddenFit) -> Probe:
    """A regression with a hidden layer beside it, after the best number of epochs."""
    judges = [judge for _, judge in folds]
    # The folds in step, so that the heads of one epoch are all that is in memory.
    fits = [
        fitted_heads(
            refit(examples, regression, learn),
            *examples.samples(regression.views, learn),
            examples.weights(regression.views, learn),
            hidden,
        )
        for learn, _ in folds
    ]
    best: Probe | None = None
    for epoch, heads in enumerate(zip(*fits, strict=True), 1):
        found = _judged(examples, zip(heads, judges, strict=True), replace(regression, hidden=hidden, epochs=epoch))
        if best and found.loss > best.loss:
            break
        best = found
    assert best is not None
    return best


def _means(examples: Examples, folds: Sequence[Fold], views: int, kind: str) -> Probe:
    """Class means with the best scale."""
    samples = [(examples.samples(views, learn), judge) for learn, judge in folds]
    probes = [
        _judged(
            examples,
            ((_mean_head(*own, kind, scale), judge) for own, judge in samples),
            Probe(kind, views, scale, np.zeros(0, np.bool_), 0.0),
        )
        for scale in _SCALES
    ]
    return min(probes, key=lambda probe: probe.loss)


def _mean_head(features_SD: NDArray[np.float32], targets_SK: NDArray[np.float32], kind: str, scale: float) -> Head:
    """The head of class means, or of their directions; the standard deviation of its logits is `scale`."""
    if kind == "cosine":
        features = features_SD / np.linalg.norm(features_SD, axis=1, keepdims=True).clip(1e-12)
        means_KD = _class_means(features, targets_SK)
        weight_KD = means_KD / np.linalg.norm(means_KD, axis=1, keepdims=True).clip(1e-12)
        bias_K = np.zeros(len(weight_KD), np.float32)
    else:
        weight_KD = _class_means(features_SD, targets_SK)
        # A distance as a linear function: |x - m|^2 = |x|^2 - 2 (x m - |m|^2 / 2); |x|^2 is the same for all classes.
        bias_K = -np.square(weight_KD).sum(1) / 2
    # What all classes have in common changes no answer, but may be too large for the 16 bits of a stored one.
    weight_KD, bias_K = weight_KD - weight_KD.mean(0), bias_K - bias_K.mean()
    logits_SK = logits_of(Head(weight_KD, bias_K), features_SD)
    factor = np.float32(scale / max(float((logits_SK - logits_SK.mean(1, keepdims=True)).std()), 1e-12))
    return Head((weight_KD * factor).astype(np.float32), (bias_K * factor).astype(np.float32))


def _class_means(features_SD: NDArray[np.float32], targets_SK: NDArray[np.float32]) -> NDArray[np.float32]:
    means_KD: NDArray[np.float32] = (targets_SK.T @ features_SD) / targets_SK.sum(0)[:, None].clip(1e-12)
    return means_KD


def _judged(examples: Examples, heads: Iterator[tuple[Head, NDArray[np.int64]]], probe: Probe) -> Probe:
    """A probe with the score of heads on the images that each has not seen."""
    right, losses = [], []
    for head, judge in heads:
        features_SD, targets_SK = examples.samples(1, judge)
        logits_SK = logits_of(head, features_SD)
        right.append(logits_SK.argmax(1) == examples.labels_N[judge])
        losses.append(cross_entropy(logits_SK, targets_SK) * examples.weights_N[judge])
    return replace(probe, right_N=np.concatenate(right), loss=float(np.concatenate(losses).mean()))
