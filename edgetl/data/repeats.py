"""Repeated views, shifted and mirrored a little, so that a student does not memorise the few that there are."""

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["varied"]

_REACH = 1 / 16
"""Largest shift, as a fraction of the side: small enough that the teacher's answer still fits."""

_STREAM = 2  # of draws; edgetl.data.views has 0 and 1


def varied(
    images_NHWC: NDArray[np.uint8], *, seed: int, step: int, mirror: bool, share: tuple[int, int]
) -> NDArray[np.uint8]:
    """Shift the whole batch, and mirror about half of its images; a function of the seed and the step alone.

    Args:
        images_NHWC: `uint8 (N, H, W, 3)`; may be overwritten.
        seed: Seeds all draws.
        step: Number of the batch in the training.
        mirror: Whether mirroring keeps the class.
        share: This process's part of the batch, as in `edgetl.data.loader`.

    Returns:
        Images of the same number and size; a shift fills the border by reflection.
    """
    bits = np.random.Philox(key=np.array([seed, step], np.uint64), counter=np.array([0, 0, _STREAM, 0], np.uint64))
    draws = np.random.Generator(bits)
    count, height, width, _ = images_NHWC.shape
    reach_y, reach_x = round(_REACH * height), round(_REACH * width)
    top, left = draws.integers(2 * reach_y + 1), draws.integers(2 * reach_x + 1)
    rank, processes = share
    mirrored_N = draws.random(count * processes)[rank::processes] < 0.5
    padded_NHWC = np.pad(images_NHWC, ((0, 0), (reach_y, reach_y), (reach_x, reach_x), (0, 0)), mode="reflect")
    result_NHWC = padded_NHWC[:, top : top + height, left : left + width]
    if mirror:
        images = torch.from_numpy(result_NHWC)  # PyTorch mirrors several times as fast as NumPy
        chosen = torch.from_numpy(mirrored_N)
        images[chosen] = images[chosen].flip(2)
    return result_NHWC
