"""The loss of true labels."""

import torch
from torch.nn.functional import cross_entropy

from edgetl.data.dataset import Batch
from edgetl.train.trainee import Objective

__all__ = ["FromLabels", "label_loss"]


class FromLabels(Objective):
    """Cross-entropy with true labels."""

    def __init__(self, smoothing: float) -> None:
        super().__init__()
        self._smoothing = smoothing

    def forward(self, logits_NK: torch.Tensor, batch: Batch) -> torch.Tensor:
        return label_loss(logits_NK, batch, smoothing=self._smoothing)


def label_loss(logits_NK: torch.Tensor, batch: Batch, *, smoothing: float = 0.0) -> torch.Tensor:
    """Cross-entropy with the labels of a batch, mixed as its images are; images without a label do not count.

    Args:
        logits_NK: What the network answers.
        batch: Labels, and those of the images that are mixed in.
        smoothing: Probability taken from the true class and spread over all (Szegedy et al., arXiv 1512.00567).

    Returns:
        The mean over the labelled images, in nats; 0 if there are none.
    """

    def against(labels_N: torch.Tensor) -> torch.Tensor:
        return cross_entropy(logits_NK, labels_N, reduction="none", ignore_index=-1, label_smoothing=smoothing)

    share_N = batch.partner_shares_N
    loss_N = (1 - share_N) * against(batch.labels_N) + share_N * against(batch.partner_labels_N)
    return loss_N.sum() / (batch.labels_N >= 0).sum().clamp(min=1)
