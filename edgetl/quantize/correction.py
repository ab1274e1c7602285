"""Weights that compensate for the error that earlier roundings leave in their inputs.

In a quantized network a layer receives other inputs than its weights were trained for. The part of the error that is
a linear function of the quantized inputs is removed by moving the weights (asymmetric calibration: Li et al., 2025,
arXiv 2504.02692). Cross-validation over images chooses how far, so that few images move the weights little.
"""

from collections.abc import Iterable, Iterator

import torch

from edgetl.quantize.rounding import input_products

__all__ = ["Correction"]

_FOLDS = 3
"""Parts of the images: each judges what was fitted to the other two."""

_DAMPINGS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Candidates of the ridge, in units of the inputs' mean variance: from a free fit to hardly any move."""

_SMALLEST = 1e-9
"""Variance of inputs that never change; keeps the system solvable."""


class Correction:
    """The least-squares fit of a layer's outputs on quantized inputs to its outputs on float inputs.

    Args:
        weight: `(O, ...)`.
        rounded: Inputs in the quantized network, image after image: `(P, I)`, or `(O, P, I)` where each output has its
            own inputs, as in a depthwise convolution.
        floats: The inputs at the same positions in the float network.
    """

    def __init__(self, weight: torch.Tensor, rounded: torch.Tensor, floats: torch.Tensor) -> None:
        self._own = rounded.dim() == 3
        self._weight, self._rows_GOI = weight, self._grouped(weight)
        rounded_GPI, floats_GPI = (each if each.dim() == 3 else each[None] for each in (rounded, floats))
        parts = zip(rounded_GPI.chunk(_FOLDS, 1), (floats_GPI - rounded_GPI).chunk(_FOLDS, 1), strict=True)
        self._folds = [
            (input_products(inputs).double(), self._rows_GOI @ _cross(lost, inputs)) for inputs, lost in parts
        ]
        self._products_GII, self._wanted_GOI = (_sum(each) for each in zip(*self._folds, strict=True))

    def weight(self) -> torch.Tensor | None:
        """Better weights, `(O, ...)`; None if no move lowers the error on images left out of the fit."""
        gains = {damping: sum(self._held_out_gains(damping)) for damping in _DAMPINGS}
        best = max(gains, key=lambda damping: gains[damping])
        if gains[best] <= 0:
            return None
        moved_GOI = self._rows_GOI + _move(self._products_GII, self._wanted_GOI, best)
        return moved_GOI.to(self._weight).reshape(self._weight.shape)

    def gain(self, weight: torch.Tensor) -> float:
        """By how much these weights lower the squared error of the outputs, against the original ones."""
        return _gain(self._grouped(weight) - self._rows_GOI, self._products_GII, self._wanted_GOI)

    def _grouped(self, weight: torch.Tensor) -> torch.Tensor:
        """Rows of weights, grouped by outputs that share inputs: one group, or one per output."""
        rows_OI = weight.flatten(1).double()
        return rows_OI[:, None] if self._own else rows_OI[None]

    def _held_out_gains(self, damping: float) -> Iterator[float]:
        """The gain on each fold of a move that was fitted to the other folds."""
        for held_GII, asked_GOI in self._folds:
            move_GOI = _move(self._products_GII - held_GII, self._wanted_GOI - asked_GOI, damping)
            yield _gain(move_GOI, held_GII, asked_GOI)


def _cross(lost_GPI: torch.Tensor, inputs_GPI: torch.Tensor) -> torch.Tensor:
    """Sums of products of the error and the inputs, about their means: `(G, I, I)`."""
    centred_GPI = inputs_GPI - inputs_GPI.mean(1, keepdim=True)
    return (lost_GPI.transpose(1, 2) @ centred_GPI).double()


def _move(products_GII: torch.Tensor, wanted_GOI: torch.Tensor, damping: float) -> torch.Tensor:
    """The change of the weights with the least squared error, damped: `(G, O, I)`."""
    variance_G = torch.diagonal(products_GII, dim1=1, dim2=2).mean(1).clamp_min(_SMALLEST)
    ridge_GII = damping * variance_G[:, None, None] * torch.eye(products_GII.shape[1], dtype=products_GII.dtype)
    move_GOI: torch.Tensor = torch.linalg.solve(products_GII + ridge_GII, wanted_GOI, left=False)
    return move_GOI


def _gain(move_GOI: torch.Tensor, products_GII: torch.Tensor, wanted_GOI: torch.Tensor) -> float:
    """By how much a change of the weights lowers the squared error of the outputs."""
    return float((2 * move_GOI * wanted_GOI - move_GOI @ products_GII * move_GOI).sum())


def _sum(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    return torch.stack(list(tensors)).sum(0)
