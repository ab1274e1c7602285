"""A teacher's answers over many classes: the best classes, and the probability of all the others together.

As in FKD (Shen and Xing, arXiv 2112.01528) and TinyViT (Wu et al., arXiv 2207.10666): the remaining probability is
spread evenly.
"""

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["decoded", "encoded"]

_LEAST = -60.0
"""Smallest natural logarithm of a probability that is stored."""


def encoded(logits_NK: torch.Tensor, width: int) -> NDArray[np.uint16]:
    """Encode the best classes of each row.

    Args:
        logits_NK: All logits, of 65,536 classes at most.
        width: `2 k + 1`.

    Returns:
        `uint16 (N, 2 k + 1)`: k classes, then the bits of half-precision numbers: the logarithms of their
        probabilities, and that of all the others together.
    """
    top_NK, classes_NK = torch.log_softmax(logits_NK.double(), dim=1).topk((width - 1) // 2, dim=1)
    rest_N1 = torch.log1p(-top_NK.exp().sum(1, keepdim=True).clamp(max=1)).clamp(min=_LEAST)
    logs_NW = torch.cat([top_NK.clamp(min=_LEAST), rest_N1], dim=1).numpy().astype(np.float16)
    return np.concatenate([classes_NK.numpy().astype(np.uint16), logs_NW.view(np.uint16)], axis=1)


def decoded(kept_NW: NDArray[np.uint16], classes: int) -> NDArray[np.float32]:
    """Decode what `encoded` gave into logits `float32 (N, classes)`."""
    count = (kept_NW.shape[1] - 1) // 2
    logs_NW = np.ascontiguousarray(kept_NW[:, count:]).view(np.float16).astype(np.float32)
    logits_NK = np.repeat(logs_NW[:, -1:] - np.log(np.float32(classes - count)), classes, axis=1)
    np.put_along_axis(logits_NK, kept_NW[:, :count].astype(np.int64), logs_NW[:, :-1], axis=1)
    return logits_NK
