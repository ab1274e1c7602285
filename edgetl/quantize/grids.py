"""Grids of activations: evenly spaced values with an exact zero, and range estimators that choose them.

`value = scale * (code - zero_point)`, codes unsigned (Jacob et al., 2018, arXiv 1712.05877, equation 1).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from edgetl.recipe.fields import Ranges

__all__ = ["Grid", "Histogram", "estimate_grid", "grid_between"]

_BINS = 4096
"""16 for each code, so that a code's error is measured inside it."""

_PERCENTILE = 0.9999
"""Among those that Wu et al. (2020, arXiv 2004.09602) compare, from 99.9 to 99.9999 %."""

_COARSE = np.geomspace(0.02, 1.0, 15)
"""Parts of the full range that are tried first: some tensors have outliers 50 times their bulk."""

_FINE = np.geomspace(_COARSE[-2], 1 / _COARSE[-2], 9)
"""Then around the best of these, up to its neighbours."""

_SMALLEST = 1e-8
"""Least step, for tensors that are always zero."""


@dataclass(frozen=True)
class Grid:
    """The 256 values that a tensor's elements are rounded to."""

    top: ClassVar[int] = 255
    """The highest code of 8 bits; the lowest is 0."""

    scale: float
    zero_point: int

    def round(self, values: torch.Tensor) -> torch.Tensor:
        """The nearest values of the grid; gradients pass where nothing saturates."""
        if torch.is_grad_enabled() and values.requires_grad:
            rounded: torch.Tensor = _Round.apply(values, self)  # type: ignore[no-untyped-call]
            return rounded
        codes = (values * (1 / self.scale)).round_().clamp_(-self.zero_point, self.top - self.zero_point)
        return codes.mul_(self.scale)


class _Round(torch.autograd.Function):
    """Rounding to a grid in few passes over the values; PyTorch's fake-quantize takes three times as long."""

    @staticmethod
    def forward(context: Any, values: torch.Tensor, grid: Grid) -> torch.Tensor:
        context.save_for_backward(values)
        context.grid = grid
        return grid.round(values)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        grid, (values,) = context.grid, context.saved_tensors
        low, high = (grid.scale * (code - grid.zero_point) for code in (-0.5, grid.top + 0.5))
        return torch.ops.aten.hardtanh_backward(gradient, values, low, high), None


class Histogram:
    """The distribution of a tensor's values.

    Args:
        parts: The values, in any shapes; they are read twice.
    """

    def __init__(self, parts: Iterable[torch.Tensor]) -> None:
        parts = list(parts)
        self.low = min(float(part.min()) for part in parts)
        self.high = max(float(part.max()) for part in parts)
        counts = sum(torch.histc(part.float(), _BINS, self.low, self.high).double() for part in parts)
        assert isinstance(counts, torch.Tensor)
        self.counts: NDArray[np.float64] = counts.numpy()
        edges = np.linspace(self.low, self.high, _BINS + 1)
        self.centres: NDArray[np.float64] = (edges[1:] + edges[:-1]) / 2


def grid_between(low: float, high: float) -> Grid:
    """The grid from `low` to `high`, extended to include zero, which is represented exactly."""
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    scale = max((high - low) / Grid.top, _SMALLEST)
    return Grid(scale, min(max(round(-low / scale), 0), Grid.top))


def estimate_grid(histogram: Histogram, estimator: Ranges) -> Grid:
    """Choose a grid for values.

    Args:
        histogram: Distribution of the values.
        estimator: `minmax` clips nothing; `percentile` clips one value in ten thousand at each end; `mse` minimises the
            mean squared error; `entropy` minimises the divergence of the rounded distribution (Migacz, 2017, "8-bit
            inference with TensorRT").
    """
    if estimator == "minmax" or histogram.high - histogram.low < _SMALLEST:
        return grid_between(histogram.low, histogram.high)
    if estimator == "percentile":
        return grid_between(*_percentiles(histogram))
    loss = _error if estimator == "mse" else _divergence
    best, low, high = grid_between(histogram.low, histogram.high), histogram.low, histogram.high
    for factors in (_COARSE, _FINE):
        tried = [
            (grid_between(lower, upper), lower, upper)
            for lower in (factors * low if low < 0 else [low])
            for upper in (factors * high if high > 0 else [high])
        ]
        best, low, high = min(tried, key=lambda each: loss(histogram, each[0]))
    return best


def _percentiles(histogram: Histogram) -> tuple[float, float]:
    shares = np.cumsum(histogram.counts) / histogram.counts.sum()
    low, high = np.searchsorted(shares, [1 - _PERCENTILE, _PERCENTILE])
    return float(histogram.centres[low]), float(histogram.centres[min(high, _BINS - 1)])


def _codes(histogram: Histogram, grid: Grid) -> NDArray[np.int64]:
    codes: NDArray[np.int64] = np.rint(histogram.centres / grid.scale).astype(np.int64) + grid.zero_point
    return codes.clip(0, grid.top)


def _error(histogram: Histogram, grid: Grid) -> float:
    rounded = (_codes(histogram, grid) - grid.zero_point) * grid.scale
    return float(((rounded - histogram.centres) ** 2 * histogram.counts).sum())


def _divergence(histogram: Histogram, grid: Grid) -> float:
    """Kullback-Leibler divergence of the distribution, from the one in which all bins of a code are equally full."""
    codes = _codes(histogram, grid)
    held = histogram.counts > 0
    total = np.bincount(codes, histogram.counts, grid.top + 1)
    bins = np.bincount(codes, held, grid.top + 1)
    spread = (total / np.maximum(bins, 1))[codes][held]
    counts = histogram.counts[held]
    return float((counts * np.log(counts / spread)).sum() / counts.sum())
