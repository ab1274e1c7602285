"""Losses between a student and its teacher."""

import torch
from torch import nn
from torch.nn.functional import kl_div, log_softmax, logsigmoid, mse_loss, normalize, softmax

__all__ = ["Contrastive", "Hint", "decoupled_kd", "dist", "hinton_kd"]


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


def decoupled_kd(
    student_NK: torch.Tensor,
    teacher_NK: torch.Tensor,
    targets_N: torch.Tensor,
    temperature: float,
    *,
    alpha: float = 1.0,
    beta: float = 2.0,
) -> torch.Tensor:
    """Decoupled distillation (DKD) of Zhao et al., arXiv 2203.08679, equation 7.

    `T^2 * mean_n (alpha * TCKD_n + beta * NCKD_n)`. With the softened probabilities of `hinton_kd`, TCKD is the
    divergence of the binary answers "target class or another one", and NCKD that among the other classes.
    Equation 6 writes the loss of Hinton in these terms: `TCKD + (1 - p_target) * NCKD`. A confident teacher thus mutes
    what it knows of the other classes; a fixed `beta` does not.

    Args:
        student_NK: Logits `(N, K)` that are trained; at least two classes.
        teacher_NK: Logits `(N, K)` of the same views, without a gradient.
        targets_N: `int64 (N,)`, the true class of each image.
        temperature: `T`, above 0.
        alpha: Weight of the target class.
        beta: Weight of the other classes.

    Returns:
        The mean over the batch, in nats.
    """
    student_N2, student_NJ = _decouple(student_NK, targets_N, temperature)
    teacher_N2, teacher_NJ = _decouple(teacher_NK, targets_N, temperature)
    of_target = hinton_kd(student_N2, teacher_N2, temperature)
    of_others = hinton_kd(student_NJ, teacher_NJ, temperature)
    return alpha * of_target + beta * of_others


def _decouple(
    logits_NK: torch.Tensor, targets_N: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits `(N, 2)` of the target class and of all others together, and logits `(N, K - 1)` of the others."""
    target_N1 = targets_N[:, None]
    columns_J = torch.arange(logits_NK.shape[1] - 1, device=logits_NK.device)
    others_NJ = logits_NK.gather(1, columns_J + (columns_J >= target_N1))
    together_N1 = temperature * torch.logsumexp(others_NJ / temperature, dim=1, keepdim=True)
    return torch.cat([logits_NK.gather(1, target_N1), together_N1], dim=1), others_NJ


def dist(
    student_NK: torch.Tensor,
    teacher_NK: torch.Tensor,
    temperature: float,
    *,
    inter_weight: float = 1.0,
    intra_weight: float = 1.0,
) -> torch.Tensor:
    """Relations instead of values: DIST of Huang et al., arXiv 2205.10536.

    `T^2 * (inter_weight * inter + intra_weight * intra)` of `softmax(logits / T)`. `inter` is the mean over the images
    of `1 - r` with Pearson's correlation `r` of the student's and the teacher's row; `intra` is the same over the
    classes and their columns. `T^2` is as in the authors' code.

    `r` is undefined for a constant row or column. Where the teacher's is constant, the term is 0, so a batch of one
    image has no `intra`. Where only the student's is constant, the term is 1 (uncorrelated), without a gradient. With
    two classes, `r` of a row is always -1 or 1, and only `intra` teaches.

    Args:
        student_NK: Logits `(N, K)` that are trained.
        teacher_NK: Logits `(N, K)` of the same views, without a gradient.
        temperature: `T`, above 0.
        inter_weight: The paper's beta.
        intra_weight: The paper's gamma.

    Returns:
        From 0 (a perfect student) to `2 * T^2 * (inter_weight + intra_weight)`; no unit.
    """
    q_NK, p_NK = softmax(student_NK / temperature, dim=1), softmax(teacher_NK / temperature, dim=1)
    inter = _pearson_distance(q_NK, p_NK)
    intra = _pearson_distance(q_NK.T, p_NK.T)
    return temperature**2 * (inter_weight * inter + intra_weight * intra)


def _pearson_distance(student_RC: torch.Tensor, teacher_RC: torch.Tensor) -> torch.Tensor:
    """The mean over rows of one minus their correlation; see `dist` for constant rows."""
    student_RC, teacher_RC = _standardise(student_RC), _standardise(teacher_RC)
    # `t.t - s.t`: the first is 1 where the teacher's row varies, else 0.
    return (teacher_RC * (teacher_RC - student_RC)).sum(dim=1).mean()


def _standardise(values_RC: torch.Tensor) -> torch.Tensor:
    """Rows of mean 0 and norm 1; a constant row becomes 0 and passes no gradient."""
    centred_RC = values_RC - values_RC.mean(dim=1, keepdim=True)
    # Rounding of the mean leaves noise in a constant row, which must not be scaled up to norm 1.
    noise_R1 = 32 * torch.finfo(values_RC.dtype).eps * values_RC.norm(dim=1, keepdim=True)
    constant_R1 = centred_RC.norm(dim=1, keepdim=True) <= noise_R1
    return normalize(centred_RC.masked_fill(constant_R1, 0), dim=1)


class Hint(nn.Module):
    """The teacher's features as a hint: FitNets of Romero et al., arXiv 1412.6550, equation 3, on pooled features.

    `1/2 * mean_n mean_d (r(student_n)_d - teacher_nd)^2`, where the regressor `r` is linear and trained with the
    student. The mean over dimensions, in place of the paper's sum, keeps the size for teachers of any width. `r` has a
    bias: features after a ReLU have a mean, which the student's own need not have.

    Args:
        student_width: Dimensions of the student's features.
        teacher_width: Dimensions of the teacher's features.
    """

    def __init__(self, student_width: int, teacher_width: int) -> None:
        super().__init__()
        self.regressor = nn.Linear(student_width, teacher_width)

    def forward(self, student_ND: torch.Tensor, teacher_ND: torch.Tensor) -> torch.Tensor:
        """The loss of features `(N, student_width)` against `(N, teacher_width)`, in squared units of the latter."""
        return mse_loss(self.regressor(student_ND), teacher_ND) / 2


class Contrastive(nn.Module):
    """Contrastive representation distillation (CRD) of Tian et al., arXiv 1910.10699.

    `-mean_i [log h_ii + sum_{j != i} log(1 - h_ij)]`: a critic `h` distinguishes the teacher's features of the same
    image from those of another one. `h_ij = e_ij / (e_ij + N * c)`, where `e_ij = exp(s_ij / T)`, `s_ij` is the cosine
    between the embedded features of image i by the student and of image j by the teacher, `N` is the number of
    negatives, and `c` is the mean of `e` over all pairs, taken as a constant. Both embeddings are linear and trained.

    The paper draws its negatives from a memory bank of the training set; here they are the other images of the batch,
    whatever their class, so `N` is the batch size minus 1. The authors' code estimates `c` once, from its first batch;
    here each batch has its own. Their code adds a second term with the roles of student and teacher exchanged, which
    over all pairs of a batch equals the first. A batch of one image has no negatives: its loss is 0.

    Args:
        student_width: Dimensions of the student's features.
        teacher_width: Dimensions of the teacher's features.
        width: Dimensions of the embedding.
        temperature: `T`, above 0.
    """

    def __init__(self, student_width: int, teacher_width: int, *, width: int = 128, temperature: float = 0.1) -> None:
        super().__init__()
        self.embed_student = nn.Linear(student_width, width)
        self.embed_teacher = nn.Linear(teacher_width, width)
        self.temperature = temperature

    def forward(self, student_ND: torch.Tensor, teacher_ND: torch.Tensor) -> torch.Tensor:
        """The loss of features `(N, student_width)` against `(N, teacher_width)` of the same views, in nats."""
        student_NE = normalize(self.embed_student(student_ND), dim=1)
        teacher_NE = normalize(self.embed_teacher(teacher_ND), dim=1)
        log_e_NN = student_NE @ teacher_NE.T / self.temperature
        images = len(log_e_NN)
        log_c = torch.logsumexp(log_e_NN.detach().flatten(), dim=0) - log_e_NN.new_tensor(images**2).log()
        # log(h / (1 - h)); without negatives it is infinite, h is 1 and the loss 0.
        log_odds_NN = log_e_NN - log_c - log_e_NN.new_tensor(images - 1).log()
        same_NN = torch.eye(images, dtype=torch.bool, device=log_e_NN.device)
        return -logsigmoid(torch.where(same_NN, log_odds_NN, -log_odds_NN)).sum() / images
