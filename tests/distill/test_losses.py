"""The distillation loss against its formula, computed apart in double precision."""

import numpy as np
import pytest
import torch

from edgetl.distill.losses import hinton_kd, with_labels

RNG = np.random.default_rng(0)
STUDENT_NK, TEACHER_NK = RNG.normal(0, 3, (2, 6, 5))
LABELS_N = RNG.integers(0, 5, 6)


def softmax(logits_NK):
    powers_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    return powers_NK / powers_NK.sum(axis=1, keepdims=True)


def formula(student_NK, teacher_NK, temperature):
    p_NK, q_NK = softmax(teacher_NK / temperature), softmax(student_NK / temperature)
    return temperature**2 * (p_NK * (np.log(p_NK) - np.log(q_NK))).sum(axis=1).mean()


def gradient(temperature, student_NK=STUDENT_NK, teacher_NK=TEACHER_NK):
    student = torch.tensor(student_NK, requires_grad=True)
    hinton_kd(student, torch.tensor(teacher_NK), temperature).backward()
    return student.grad.numpy()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 20.0])
def test_it_is_the_formula_of_hinton(temperature):
    found = hinton_kd(torch.tensor(STUDENT_NK), torch.tensor(TEACHER_NK), temperature)
    assert float(found) == pytest.approx(formula(STUDENT_NK, TEACHER_NK, temperature), rel=1e-12)


def test_a_student_that_says_the_same_up_to_a_constant_has_nothing_to_learn():
    shifted = torch.tensor(TEACHER_NK + 7.0)
    assert float(hinton_kd(shifted, torch.tensor(TEACHER_NK), 4.0)) == pytest.approx(0, abs=1e-12)
    assert np.abs(gradient(4.0, TEACHER_NK + 7.0)).max() < 1e-12


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_gradient_is_the_difference_of_the_softened_probabilities(temperature):
    expected_NK = temperature * (softmax(STUDENT_NK / temperature) - softmax(TEACHER_NK / temperature)) / 6
    np.testing.assert_allclose(gradient(temperature), expected_NK, rtol=1e-9, atol=1e-12)


def test_the_gradients_keep_their_size_at_high_temperatures():
    """Section 2.1 of the paper: in the limit it is the squared difference of zero-mean logits, whatever T is."""
    zero_mean = [logits_NK - logits_NK.mean(axis=1, keepdims=True) for logits_NK in (STUDENT_NK, TEACHER_NK)]
    limit_NK = (zero_mean[0] - zero_mean[1]) / (6 * 5)
    np.testing.assert_allclose(gradient(1e4), limit_NK, rtol=1e-2, atol=1e-5)
    np.testing.assert_allclose(gradient(1e5), gradient(1e4), rtol=1e-2, atol=1e-5)


def test_no_gradient_flows_into_the_teachers_answers_of_a_cache():
    teacher = torch.tensor(TEACHER_NK)
    hinton_kd(torch.tensor(STUDENT_NK, requires_grad=True), teacher, 4.0).backward()
    assert teacher.grad is None


@pytest.mark.parametrize(("hard_weight", "soft_share"), [(0.0, 1.0), (0.1, 0.9), (1.0, 0.0)])
def test_the_labels_have_the_share_that_was_asked_for(hard_weight, soft_share):
    student = torch.tensor(STUDENT_NK)
    distilled = hinton_kd(student, torch.tensor(TEACHER_NK), 4.0)
    hard = -np.log(softmax(STUDENT_NK)[np.arange(6), LABELS_N]).mean()
    found = with_labels(distilled, student, torch.tensor(LABELS_N), hard_weight)
    expected = soft_share * formula(STUDENT_NK, TEACHER_NK, 4.0) + hard_weight * hard
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_extreme_logits_stay_finite():
    student, teacher = torch.tensor([[1e4, -1e4]], requires_grad=True), torch.tensor([[-1e4, 1e4]])
    loss = hinton_kd(student, teacher, 1.0)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(student.grad).all()
