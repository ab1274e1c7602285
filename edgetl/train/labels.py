"""The loss of true labels."""

import torch
from torch.nn.functional import cross_entropy

from edgetl.data.dataset import Batch
from edgetl.train.trainee import Objective

__all__ = ["FromLabels", "label_loss"]


class FromLabels(Objective):
    """Cross-entropy with true labels.

    Args:
        smoothing: As in `label_loss`.
        weights_K: Likewise.
    """

    weights_K: torch.Tensor | None

    def __init__(self, smoothing: float, weights_K: torch.Tensor | None = None) -> None:
        super().__init__()
        self._smoothing = smoothing
        self.register_buffer("weights_K", weights_K, persistent=False)

    def forward(self, logits_NK: torch.Tensor, batch: Batch) -> torch.Tensor:
        return label_loss(logits_NK, batch, smoothing=self._smoothing, weights_K=self.weights_K)


def label_loss(
    logits_NK: torch.Tensor, batch: Batch, *, smoothing: float = 0.0, weights_K: torch.Tensor | None = None
) -> torch.Tensor:
    """Cross-entropy with the labels of a batch, mixed as its images are; images without a label do not count.

    Args:
        logits_NK: What the network answers.
        batch: Labels, and those of the images that are mixed in.
        smoothing: Probability taken from the true class and spread over all (Szegedy et al., arXiv 1512.00567).
        weights_K: Weight of each class, with a mean of 1 over all images; None for 1.

    Returns:
        The mean over the labelled images, in nats; 0 if there are none. Their weights do not divide it, as those of
        `torch.nn.CrossEntropyLoss` do: a batch without rare images would then count as much as one that has them.
    """

    def against(labels_N: torch.Tensor) -> torch.Tensor:
        loss_N = cross_entropy(logits_NK, labels_N, reduction="none", ignore_index=-1, label_smoothing=smoothing)
        return loss_N if weights_K is None else loss_N * weights_K[labels_N.clamp(min=0)]

    share_N = batch.partner_shares_N
    loss_N = (1 - share_N) * against(batch.labels_N) + share_N * against(batch.partner_labels_N)
    return loss_N.sum() / (batch.labels_N >= 0).sum().clamp(min=1)
