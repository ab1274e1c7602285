"""Weights that make up for what their inputs have lost to the roundings before them.

A rounded network hands each layer other inputs than the weights were trained for. What was lost is not all chance: as
far as it can be told from what is left, the weights take it back (asymmetric calibration: Li et al., 2025, arXiv
2504.02692). How far they move is decided on images that they were not fitted to, so that few images move them little.
"""

from collections.abc import Iterable, Iterator

import torch

from edgetl.quantize.rounding import input_products

__all__ = ["Correction"]

_FOLDS = 3
_DAMPINGS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Of the inputs' mean variance."""
_SMALLEST = 1e-9


class Correction:
    """How a layer's outputs on its rounded inputs come nearest to its outputs on the float ones.

    Args:
        weight: `(O, ...)`.
        rounded: Inputs as the rounded network gives them, image after image: `(P, I)`, or `(O, P, I)` where each output
            has inputs of its own, as in a depthwise convolution.
        floats: The same places in the float network.
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
        """Better weights, `(O, ...)`; None if no move helps on other images than it was fitted to."""
        gains = {damping: sum(self._held_out_gains(damping)) for damping in _DAMPINGS}
        best = max(gains, key=lambda damping: gains[damping])
        if gains[best] <= 0:
            return None
        moved_GOI = self._rows_GOI + _move(self._products_GII, self._wanted_GOI, best)
        return moved_GOI.to(self._weight).reshape(self._weight.shape)

    def gain(self, weight: torch.Tensor) -> float:
        """By how much other weights lower the squared error of the outputs."""
        return _gain(self._grouped(weight) - self._rows_GOI, self._products_GII, self._wanted_GOI)

    def _grouped(self, weight: torch.Tensor) -> torch.Tensor:
        """Rows of weights by groups of outputs that share inputs: all in one, or each its own."""
        rows_OI = weight.flatten(1).double()
        return rows_OI[:, None] if self._own else rows_OI[None]

    def _held_out_gains(self, damping: float) -> Iterator[float]:
        """What moves gain on each fold that are fitted to the others."""
        for held_GII, asked_GOI in self._folds:
            move_GOI = _move(self._products_GII - held_GII, self._wanted_GOI - asked_GOI, damping)
            yield _gain(move_GOI, held_GII, asked_GOI)


def _cross(lost_GPI: torch.Tensor, inputs_GPI: torch.Tensor) -> torch.Tensor:
    """Sums of products of what was lost and the inputs, about their means: `(G, I, I)`."""
    centred_GPI = inputs_GPI - inputs_GPI.mean(1, keepdim=True)
    return (lost_GPI.transpose(1, 2) @ centred_GPI).double()


def _move(products_GII: torch.Tensor, wanted_GOI: torch.Tensor, damping: float) -> torch.Tensor:
    """The change of the weights with the least squared error, damped: `(G, O, I)`."""
    variance_G = torch.diagonal(products_GII, dim1=1, dim2=2).mean(1).clamp_min(_SMALLEST)
    ridge_GII = damping * variance_G[:, None, None] * torch.eye(products_GII.shape[1], dtype=products_GII.dtype)
    # Products of inputs are symmetric and the ridge makes them positive: half the work of a general solver.
    factor_GII = torch.linalg.cholesky(products_GII + ridge_GII)
    return torch.cholesky_solve(wanted_GOI.transpose(1, 2), factor_GII).transpose(1, 2)


def _gain(move_GOI: torch.Tensor, products_GII: torch.Tensor, wanted_GOI: torch.Tensor) -> float:
    """By how much a change of the weights lowers the squared error of the outputs."""
    return float((2 * move_GOI * wanted_GOI - move_GOI @ products_GII * move_GOI).sum())


def _sum(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    return torch.stack(list(tensors)).sum(0)
