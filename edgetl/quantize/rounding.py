"""Weights as 8-bit integers: which scale, and which way each one is rounded."""

import torch

from edgetl.quantize.widths import Width

__all__ = ["input_products", "lattice_step", "round_weights", "weight_scales"]

_SHRINKS = torch.linspace(0.5, 1.0, 26)
"""Steps that are tried, relative to the least one that clips nothing."""

_POWER = 2.4
"""Exponent of the error, from the reference implementation of GPTQ (Frantar et al., 2023)."""

_DAMPING = 0.01
"""Of the inputs' mean variance, added to each variance: GPTQ's default (Frantar et al., 2023)."""

_SMALLEST = 1e-10
"""Least step, for channels whose weights are all zero."""

_LARGEST_LATTICE = 511
"""Largest code of evenly spaced weights; with many more codes, almost any weights would seem evenly spaced."""

_BLOCK = 64
"""Columns that are rounded before the rest is updated; only speed depends on it."""


def weight_scales(weight: torch.Tensor, width: Width) -> torch.Tensor:
    """Choose a step for each output channel.

    Weights that already lie on evenly spaced values, as in a network trained for or read from an integer model, keep
    their step and lose nothing. For others the step has the least error.

    Args:
        weight: `(O, ...)`.
        width: Bounds on the codes.

    Returns:
        `(O,)`.
    """
    rows_OI = weight.flatten(1)
    least_O = width.least_steps(rows_OI).clamp_min(_SMALLEST)
    best_O, scales_O = torch.full_like(least_O, torch.inf), least_O
    for shrink in _SHRINKS:
        tried_O = least_O * shrink
        rounded_OI = width.nearest(rows_OI / tried_O[:, None]) * tried_O[:, None]
        error_O = (rounded_OI - rows_OI).abs().pow(_POWER).sum(1)
        scales_O = torch.where(error_O < best_O, tried_O, scales_O)
        best_O = torch.minimum(error_O, best_O)
    step = lattice_step(weight)
    if step is None:
        return scales_O
    return torch.where(least_O <= step * 1.001, torch.full_like(least_O, step), scales_O)


def lattice_step(weight: torch.Tensor) -> float | None:
    """The distance of a tensor's values, if they are evenly spaced and at most 9 bits wide; else None."""
    values = torch.unique(weight.flatten().double())
    gaps = values.diff()
    gaps = gaps[gaps > (values[-1] - values[0]) * 1e-5]
    if len(gaps) < 3:
        return None
    step = float(gaps.min())
    for _ in range(5):
        codes = (values / step).round()
        step = float((values * codes).sum() / (codes * codes).sum())
    misfit = float((values / step - (values / step).round()).abs().max())
    return step if misfit < 0.02 and float(values.abs().max()) / step <= _LARGEST_LATTICE else None


def round_weights(
    weight: torch.Tensor, scales_O: torch.Tensor, width: Width, products: torch.Tensor | None = None
) -> torch.Tensor:
    """Round weights to codes.

    With the inputs' products, the weights not yet rounded compensate for each weight's rounding error, so that the
    layer's output changes least (GPTQ: Frantar et al., 2023, arXiv 2210.17323); without, each gets the nearest code.

    Args:
        weight: `(O, ...)`.
        scales_O: Steps, `(O,)`.
        width: Bounds on the codes.
        products: `(I, I)`, or `(O, I, I)` where each output has inputs of its own, as in a depthwise convolution.

    Returns:
        `int8`, in the shape of `weight`.
    """
    rows_OI = weight.flatten(1).double() / scales_O.double()[:, None]
    codes_OI = width.nearest(rows_OI) if products is None else _compensated(rows_OI, products.double(), width)
    return codes_OI.to(torch.int8).view_as(weight)


def input_products(columns: torch.Tensor) -> torch.Tensor:
    """Sums of products of a layer's inputs, about their means: `(..., P, I)` to `(..., I, I)`."""
    centred = columns - columns.mean(-2, keepdim=True)
    return centred.transpose(-1, -2) @ centred


def _compensated(rows_OI: torch.Tensor, products: torch.Tensor, width: Width) -> torch.Tensor:
    own = products.dim() == 3
    products = products if own else products[None]
    size = rows_OI.shape[1]
    diagonal = torch.diagonal(products, dim1=1, dim2=2)
    # Inputs that vary most are rounded first, while there are many weights left to compensate.
    order = torch.arange(size) if own else diagonal[0].argsort(descending=True)
    damping = _DAMPING * diagonal.mean(1).clamp_min(1e-9)
    damped = products[:, order][:, :, order] + damping[:, None, None] * torch.eye(size, dtype=products.dtype)
    spread = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(damped)), upper=True)
    to_rest = "ob,obi->oi" if own else "ob,xbi->oi"
    rest_OI, codes_OI = rows_OI[:, order].clone(), torch.zeros_like(rows_OI)
    for start in range(0, size, _BLOCK):
        stop = min(start + _BLOCK, size)
        errors = torch.empty_like(rest_OI[:, start:stop])
        for column in range(start, stop):
            place = int(order[column])
            codes_OI[:, place] = width.nearest_beside(rest_OI[:, column], place, codes_OI)
            error_O = (rest_OI[:, column] - codes_OI[:, place]) / spread[:, column, column]
            rest_OI[:, column + 1 : stop] -= error_O[:, None] * spread[:, column, column + 1 : stop]
            errors[:, column - start] = error_O
        # The columns behind a block receive its errors all at once.
        rest_OI[:, stop:] -= torch.einsum(to_rest, errors, spread[:, start:stop, stop:])
    return codes_OI
