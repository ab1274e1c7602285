"""What a student minimises."""

import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax

__all__ = ["hinton_kd", "with_labels"]


def hinton_kd(student_NK: torch.Tensor, teacher_NK: torch.Tensor, temperature: float) -> torch.Tensor:
    """Distillation loss of Hinton, Vinyals and Dean, arXiv 1503.02531, section 2.

    `T^2 * mean_n sum_k p_nk * (log p_nk - log q_nk)` with `p = softmax(teacher / T)`, `q = softmax(student / T)`; the
    factor keeps the size of the gradients independent of the temperature.

    Args:
        student_NK: Logits `(N, K)` that are trained.
        teacher_NK: Logits `(N, K)` of the same views; no gradient flows into them.
        temperature: `T`, above 0.

    Returns:
        The mean over the batch, in nats.
    """
    log_q_NK = log_softmax(student_NK / temperature, dim=1)
    log_p_NK = log_softmax(teacher_NK / temperature, dim=1)
    return temperature**2 * kl_div(log_q_NK, log_p_NK, reduction="batchmean", log_target=True)


def with_labels(
    distilled: torch.Tensor, student_NK: torch.Tensor, labels_N: torch.Tensor, hard_weight: float
) -> torch.Tensor:
    """Mix a distillation loss with the cross-entropy of true labels; `hard_weight` is the labels' share, 0 to 1."""
    return (1 - hard_weight) * distilled + hard_weight * cross_entropy(student_NK, labels_N)
