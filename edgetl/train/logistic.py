"""Multinomial logistic regression on features, fitted to convergence: the best linear head of a frozen network.

It minimises `sum_s w_s CE(t_s, softmax(W x_s + b)) + penalty / 2 |W|^2` over samples s of weight w_s, whose targets t_s
may be soft. The Hessian is bounded by `(I - 11'/K) / 2` times the features' covariance (Boehning, 1992). In
coordinates in which this bound is the unit matrix, L-BFGS needs a few dozen steps where it needs thousands on raw
features. The coordinates are computed once for all penalties and folds.
"""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from edgetl.train.fitted_head import Head

__all__ = ["LogisticRegression"]

_SMALL = 1e-8
"""Directions with less than this part of the largest variance are left out: rounding alone."""

_MAX_STEPS = 300


class LogisticRegression:
    """A problem that is solved for several penalties and weights of the samples.

    Args:
        features_SD: One row per sample.
        targets_SK: Probabilities of the classes; rows sum to 1.
    """

    def __init__(self, features_SD: NDArray[np.float32], targets_SK: NDArray[np.float32]) -> None:
        features = torch.from_numpy(features_SD)
        self._mean_D = features.mean(0)
        centred_SD = features - self._mean_D
        covariance_DD = (centred_SD.T @ centred_SD).double() / len(features)
        values_D, vectors_DD = torch.linalg.eigh(covariance_DD)
        kept = values_D > _SMALL * values_D[-1].clamp(min=1e-30)
        self._variances_R = values_D[kept]
        self._vectors_DR = vectors_DD[:, kept].float()
        self._scores_SR = centred_SD @ self._vectors_DR
        self._targets_SK = torch.from_numpy(targets_SK)
        self.scale = float(self._variances_R.sum())
        """Mean squared distance of the features from their mean: the unit of a penalty."""

    def solve(
        self, penalty: float, weights_S: NDArray[np.float32], start: Head | None = None, *, tolerance: float = 1e-4
    ) -> Head:
        """Fit a head.

        Args:
            penalty: Of the squared weights, in units of the squared features.
            weights_S: Weight of each sample; those of weight 0 take no part.
            start: Where to start, such as the solution for a larger penalty.
            tolerance: Largest slope in any coordinate at which the solution counts as found, in nats.
        """
        from scipy.optimize import minimize

        chosen_S = torch.from_numpy(weights_S > 0)
        scores_SR, targets_SK = self._scores_SR, self._targets_SK
        share_S = torch.from_numpy(weights_S / weights_S.sum()).float()
        if not bool(chosen_S.all()):
            scores_SR, targets_SK, share_S = scores_SR[chosen_S], targets_SK[chosen_S], share_S[chosen_S]
        classes, rank = targets_SK.shape[1], scores_SR.shape[1]
        scale_R = (self._variances_R / 2 + penalty).rsqrt()
        norm_R = penalty * scale_R.square()

        def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            own_KR, bias_K = _parts(flat, classes, rank)
            logits_SK = scores_SR @ (own_KR * scale_R).float().T + bias_K.float()
            logs_SK = torch.log_softmax(logits_SK, dim=1)
            value = -(share_S @ (targets_SK * logs_SK).sum(1)).double() + (norm_R * own_KR.square()).sum() / 2
            slope_SK = share_S[:, None] * (logs_SK.exp() - targets_SK)
            # As `(scores.T @ slope).T` this product of a wide and a narrow matrix is many times as slow.
            slope_KR = (slope_SK.T @ scores_SR).double() * scale_R + norm_R * own_KR
            return float(value), torch.cat([slope_KR.flatten(), slope_SK.sum(0).double()]).numpy()

        first = self._flat(start, scale_R) if start else np.zeros(classes * (rank + 1))
        options = {"maxiter": _MAX_STEPS, "gtol": tolerance, "ftol": 1e-10, "maxcor": 20}
        with _thread_pools().limit(limits=1, user_api="blas"):
            found = minimize(loss, first, jac=True, method="L-BFGS-B", options=options)
        own_KR, bias_K = _parts(found.x, classes, rank)
        weight_KD = (own_KR * scale_R).float() @ self._vectors_DR.T
        return Head(weight_KD.numpy(), (bias_K.float() - weight_KD @ self._mean_D).numpy())

    def _flat(self, head: Head, scale_R: torch.Tensor) -> NDArray[np.float64]:
        weight_KD = torch.from_numpy(head.weight_KD)
        own_KR = (weight_KD @ self._vectors_DR).double() / scale_R
        bias_K = torch.from_numpy(head.bias_K) + weight_KD @ self._mean_D
        flat: NDArray[np.float64] = torch.cat([own_KR.flatten(), bias_K.double()]).numpy()
        return flat


@lru_cache(maxsize=1)
def _thread_pools() -> ThreadpoolController:
    """The threads of libraries. SciPy's sums are short: on several threads, these and PyTorch's wait for each other."""
    return ThreadpoolController()


def _parts(flat: NDArray[np.float64], classes: int, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    vector = torch.from_numpy(flat)
    return vector[: classes * rank].reshape(classes, rank), vector[classes * rank :]
