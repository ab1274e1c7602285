"""Each distillation loss against its formula, computed apart in double precision."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from edgetl.distill.losses import Contrastive, Hint, decoupled_kd, dist, hinton_kd

RNG = np.random.default_rng(0)
STUDENT_NK, TEACHER_NK = RNG.normal(0, 3, (2, 6, 5))
TARGETS_N = np.array([0, 4, 2, 2, 1, 3])
STUDENT_ND, TEACHER_ND = RNG.normal(0, 1, (6, 3)), RNG.normal(0, 1, (6, 4))  # features, not logits
TEMPERATURES = pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 20.0])


def softmax(logits_NK):
    powers_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    return powers_NK / powers_NK.sum(axis=1, keepdims=True)


def divergence(p, q):
    return sum(p_k * np.log(p_k / q_k) for p_k, q_k in zip(p, q, strict=True))


def leaf(array, dtype=torch.float64):
    return torch.tensor(array, dtype=dtype, requires_grad=True)


def assert_finite_with_gradients(loss, *leaves):
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(each.grad).all() for each in leaves)


# Hinton


def hinton_formula(student_NK, teacher_NK, temperature):
    p_NK, q_NK = softmax(teacher_NK / temperature), softmax(student_NK / temperature)
    return temperature**2 * np.mean([divergence(p_K, q_K) for p_K, q_K in zip(p_NK, q_NK, strict=True)])


def hinton_gradient(temperature, student_NK=STUDENT_NK, teacher_NK=TEACHER_NK):
    student = leaf(student_NK)
    hinton_kd(student, torch.tensor(teacher_NK), temperature).backward()
    return student.grad.numpy()


@TEMPERATURES
def test_it_is_the_formula_of_hinton(temperature):
    found = hinton_kd(torch.tensor(STUDENT_NK), torch.tensor(TEACHER_NK), temperature)
    assert found.item() == pytest.approx(hinton_formula(STUDENT_NK, TEACHER_NK, temperature), rel=1e-12)


def test_a_student_that_says_the_same_up_to_a_constant_has_nothing_to_learn():
    shifted = torch.tensor(TEACHER_NK + 7.0)
    assert float(hinton_kd(shifted, torch.tensor(TEACHER_NK), 4.0)) == pytest.approx(0, abs=1e-12)
    assert np.abs(hinton_gradient(4.0, TEACHER_NK + 7.0)).max() < 1e-12


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_gradient_is_the_difference_of_the_softened_probabilities(temperature):
    expected_NK = temperature * (softmax(STUDENT_NK / temperature) - softmax(TEACHER_NK / temperature)) / 6
    np.testing.assert_allclose(hinton_gradient(temperature), expected_NK, rtol=1e-9, atol=1e-12)


def test_the_gradients_keep_their_size_at_high_temperatures():
    """Section 2.1 of the paper: in the limit it is the squared difference of zero-mean logits, whatever T is."""
    zero_mean = [logits_NK - logits_NK.mean(axis=1, keepdims=True) for logits_NK in (STUDENT_NK, TEACHER_NK)]
    limit_NK = (zero_mean[0] - zero_mean[1]) / (6 * 5)
    np.testing.assert_allclose(hinton_gradient(1e4), limit_NK, rtol=1e-2, atol=1e-5)
    np.testing.assert_allclose(hinton_gradient(1e5), hinton_gradient(1e4), rtol=1e-2, atol=1e-5)


def test_extreme_logits_stay_finite():
    student, teacher = leaf([[1e4, -1e4]], torch.float32), torch.tensor([[-1e4, 1e4]])
    assert_finite_with_gradients(hinton_kd(student, teacher, 1.0), student)


# DKD


def decoupled(student_NK, temperature, teacher_NK=TEACHER_NK, targets_N=TARGETS_N, **weights):
    return decoupled_kd(student_NK, torch.as_tensor(teacher_NK), torch.tensor(targets_N), temperature, **weights)


def decoupled_formula(temperature, alpha, beta):
    p_NK, q_NK = softmax(TEACHER_NK / temperature), softmax(STUDENT_NK / temperature)
    losses = []
    for p_K, q_K, target in zip(p_NK, q_NK, TARGETS_N, strict=True):
        p, q = p_K[target], q_K[target]
        target_part = divergence([p, 1 - p], [q, 1 - q])
        other_part = divergence(np.delete(p_K, target) / (1 - p), np.delete(q_K, target) / (1 - q))
        losses.append(alpha * target_part + beta * other_part)
    return temperature**2 * np.mean(losses)


@TEMPERATURES
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 2.0), (0.5, 8.0), (1.0, 0.0), (0.0, 1.0)])
def test_decoupled_is_equation_7_of_zhao(temperature, alpha, beta):
    found = decoupled(torch.tensor(STUDENT_NK), temperature, alpha=alpha, beta=beta)
    assert found.item() == pytest.approx(decoupled_formula(temperature, alpha, beta), rel=1e-9)


def test_decoupled_weighs_the_target_once_and_the_others_twice_unless_told():
    assert float(decoupled(torch.tensor(STUDENT_NK), 4.0)) == pytest.approx(decoupled_formula(4.0, 1.0, 2.0))


@TEMPERATURES
def test_hintons_loss_is_the_decoupled_one_whose_others_weigh_what_the_teacher_leaves_them(temperature):
    """Equation 6 of the paper, for each image."""
    p_NK = softmax(TEACHER_NK / temperature)
    for n, target in enumerate(TARGETS_N):
        student, teacher = torch.tensor(STUDENT_NK[n : n + 1]), torch.tensor(TEACHER_NK[n : n + 1])
        found = decoupled_kd(student, teacher, torch.tensor([target]), temperature, beta=1 - p_NK[n, target])
        assert found.item() == pytest.approx(float(hinton_kd(student, teacher, temperature)), rel=1e-9)


def test_a_student_that_equals_its_teacher_has_no_decoupled_loss():
    student = leaf(TEACHER_NK + 7.0)
    loss = decoupled(student, 4.0)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert student.grad.abs().max() < 1e-12


def test_the_part_of_the_other_classes_does_not_look_at_the_target_class():
    student = leaf(STUDENT_NK)
    decoupled(student, 4.0, alpha=0.0).backward()
    assert (student.grad[range(6), TARGETS_N] == 0).all()
    assert student.grad.abs().sum() > 0.1


def test_two_classes_leave_the_others_nothing_to_say():
    student, teacher = torch.tensor(STUDENT_NK[:, :2]), torch.tensor(TEACHER_NK[:, :2])
    found = decoupled(student, 4.0, teacher, TARGETS_N % 2, beta=100.0)
    assert found.item() == pytest.approx(float(hinton_kd(student, teacher, 4.0)), rel=1e-9)


@pytest.mark.parametrize("target", [0, 1, 2])
def test_extreme_logits_leave_the_decoupled_loss_finite(target):
    student, teacher = leaf([[1e4, -1e4, 0.0]], torch.float32), torch.tensor([[-1e4, 1e4, 0.0]])
    assert_finite_with_gradients(decoupled(student, 1.0, teacher, [target]), student)


def test_the_gradient_of_the_decoupled_loss_is_its_derivative():
    assert gradcheck(lambda student: decoupled(student, 4.0), [leaf(STUDENT_NK)])


# DIST


def relations(student_NK, temperature=1.0, teacher_NK=TEACHER_NK, **weights):
    return dist(torch.as_tensor(student_NK), torch.as_tensor(teacher_NK), temperature, **weights)


def dist_formula(temperature, inter_weight, intra_weight):
    q_NK, p_NK = softmax(STUDENT_NK / temperature), softmax(TEACHER_NK / temperature)
    inter = np.mean([1 - np.corrcoef(q_NK[n], p_NK[n])[0, 1] for n in range(6)])
    intra = np.mean([1 - np.corrcoef(q_NK[:, k], p_NK[:, k])[0, 1] for k in range(5)])
    return temperature**2 * (inter_weight * inter + intra_weight * intra)


@TEMPERATURES
@pytest.mark.parametrize(("inter", "intra"), [(1.0, 1.0), (2.0, 0.5), (1.0, 0.0), (0.0, 1.0)])
def test_dist_is_the_pearson_distance_of_rows_and_of_columns(temperature, inter, intra):
    found = relations(STUDENT_NK, temperature, inter_weight=inter, intra_weight=intra)
    assert found.item() == pytest.approx(dist_formula(temperature, inter, intra), rel=1e-9)


def test_dist_weighs_rows_and_columns_alike_unless_told():
    assert float(relations(STUDENT_NK, 4.0)) == pytest.approx(dist_formula(4.0, 1.0, 1.0), rel=1e-9)


def test_a_student_that_equals_its_teacher_has_no_dist():
    student = leaf(TEACHER_NK + 7.0)
    loss = relations(student, 4.0)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert student.grad.abs().max() < 1e-12


def test_the_relation_of_classes_forgives_each_image_its_own_sureness():
    """Mixed with the uniform distribution, each row of probabilities is scaled and shifted; the columns notice."""
    share_N1 = np.array([0.1, 0.9, 0.5, 0.3, 1.0, 0.7])[:, None]
    unsure_NK = np.log(share_N1 * softmax(TEACHER_NK) + (1 - share_N1) / 5)
    assert float(relations(unsure_NK, intra_weight=0.0)) == pytest.approx(0, abs=1e-12)
    assert float(relations(unsure_NK, inter_weight=0.0)) > 0.01


def test_the_relation_of_images_forgives_a_bias_towards_classes():
    """Mixed with one distribution, each column of probabilities is scaled and shifted; the rows notice."""
    biased_NK = np.log(0.4 * softmax(TEACHER_NK) + 0.6 * np.array([0.5, 0.2, 0.1, 0.15, 0.05]))
    assert float(relations(biased_NK, inter_weight=0.0)) == pytest.approx(0, abs=1e-12)
    assert float(relations(biased_NK, intra_weight=0.0)) > 0.01


def test_the_opposite_relation_is_twice_as_far_as_none():
    probabilities_NK = np.array([[0.2, 0.3, 0.5]])
    opposite = relations(np.log(2 / 3 - probabilities_NK), 1.0, np.log(probabilities_NK))
    assert opposite.item() == pytest.approx(2, rel=1e-12)


def test_a_batch_of_one_image_has_only_a_relation_of_classes():
    student = leaf(STUDENT_NK[:1], torch.float32)
    teacher = torch.tensor(TEACHER_NK[:1], dtype=torch.float32)
    loss = dist(student, teacher, 4.0, intra_weight=100.0)
    assert loss.item() == pytest.approx(float(relations(STUDENT_NK[:1], 4.0, TEACHER_NK[:1], intra_weight=0.0)), 1e-5)
    assert_finite_with_gradients(loss, student)
    assert student.grad.abs().max() < 10


@pytest.mark.parametrize("classes", [2, 7, 100, 1000])
def test_a_student_without_an_opinion_is_uncorrelated_and_gets_no_gradient(classes):
    student = leaf(np.zeros((3, classes)), torch.float32)
    teacher = torch.tensor(np.random.default_rng(1).normal(0, 1, (3, classes)), dtype=torch.float32)
    loss = dist(student, teacher, 2.0)
    assert loss.item() == pytest.approx(2.0**2 * (1 + 1), rel=1e-5)
    loss.backward()
    assert (student.grad == 0).all()


@pytest.mark.parametrize("classes", [2, 7, 100, 1000])
def test_a_teacher_without_an_opinion_teaches_nothing(classes):
    student = leaf(np.random.default_rng(1).normal(0, 1, (3, classes)), torch.float32)
    loss = dist(student, torch.zeros(3, classes), 2.0)
    loss.backward()
    assert loss.item() == 0
    assert (student.grad == 0).all()


def test_extreme_logits_leave_dist_finite():
    student, teacher = leaf([[1e4, -1e4, 0], [1e4, 3, 0]], torch.float32), torch.tensor([[-1e4, 1e4, 0], [1.0, 2, 3]])
    assert_finite_with_gradients(dist(student, teacher, 1.0), student)


def test_the_gradient_of_dist_is_its_derivative():
    assert gradcheck(lambda student: relations(student, 4.0), [leaf(STUDENT_NK)])


# Hint and contrastive: losses with weights of their own


def drawn(module):
    """The module in double precision, with weights that do not depend on torch's generator."""
    rng = np.random.default_rng(2)
    with torch.no_grad():
        for parameter in module.double().parameters():
            parameter.copy_(torch.tensor(rng.normal(0, 1, parameter.shape)))
    return module


def with_weights(module, names):
    """The module as a function of the student's features and of the weights `names`; and the leaves to call it with."""
    leaves = [leaf(STUDENT_ND), *(leaf(module.get_parameter(name).detach().numpy()) for name in names)]

    def call(student_ND, *weights):
        features = (student_ND, torch.tensor(TEACHER_ND))
        return torch.func.functional_call(module, dict(zip(names, weights, strict=True)), features)

    return call, leaves


def numpy_linear(linear, inputs_ND):
    return inputs_ND @ linear.weight.detach().numpy().T + linear.bias.detach().numpy()


def test_a_hint_is_half_the_mean_squared_distance_to_the_regressed_features():
    hint = drawn(Hint(3, 4))
    differences_ND = numpy_linear(hint.regressor, STUDENT_ND) - TEACHER_ND
    expected = sum(difference**2 for difference in differences_ND.flat) / 2 / 6 / 4
    assert hint(torch.tensor(STUDENT_ND), torch.tensor(TEACHER_ND)).item() == pytest.approx(expected, rel=1e-12)


def test_a_student_with_the_features_of_its_teacher_can_bring_the_hint_to_0():
    hint = drawn(Hint(3, 4))
    features = torch.tensor(numpy_linear(hint.regressor, STUDENT_ND))
    assert hint(torch.tensor(STUDENT_ND), features).item() == pytest.approx(0, abs=1e-20)


def test_a_hint_does_not_grow_with_the_width_or_the_batch():
    hint, wide = drawn(Hint(3, 4)), Hint(3, 8).double()
    wide.load_state_dict({name: torch.cat([value, value]) for name, value in hint.state_dict().items()})
    student, teacher = torch.tensor(STUDENT_ND), torch.tensor(TEACHER_ND)
    doubled = wide(torch.cat([student, student]), torch.cat([teacher, teacher]).repeat(1, 2))
    assert doubled.item() == pytest.approx(hint(student, teacher).item(), rel=1e-12)


def test_the_gradient_of_a_hint_is_its_derivative():
    assert gradcheck(*with_weights(drawn(Hint(3, 4)), ["regressor.weight", "regressor.bias"]))


def contrastive_formula(contrastive, temperature, student_ND=STUDENT_ND, teacher_ND=TEACHER_ND, constant=None):
    """The loss, and the `c` in it; a given `constant` takes its place."""
    student_NE = numpy_linear(contrastive.embed_student, student_ND)
    teacher_NE = numpy_linear(contrastive.embed_teacher, teacher_ND)
    images = len(student_NE)
    e_NN = np.empty((images, images))
    for i, j in np.ndindex(images, images):
        s, t = student_NE[i], teacher_NE[j]
        e_NN[i, j] = np.exp(s @ t / np.sqrt(s @ s) / np.sqrt(t @ t) / temperature)
    constant = e_NN.mean() if constant is None else constant
    h_NN = e_NN / (e_NN + (images - 1) * constant)
    logs = [np.log(h_NN[i, j] if i == j else 1 - h_NN[i, j]) for i, j in np.ndindex(images, images)]
    return -sum(logs) / images, constant


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
@pytest.mark.parametrize("images", [2, 6])
def test_the_contrastive_loss_is_the_critics_of_tian(temperature, images):
    contrastive = drawn(Contrastive(3, 4, width=5, temperature=temperature))
    student_ND, teacher_ND = STUDENT_ND[:images], TEACHER_ND[:images]
    expected, _ = contrastive_formula(contrastive, temperature, student_ND, teacher_ND)
    found = contrastive(torch.tensor(student_ND), torch.tensor(teacher_ND))
    assert found.item() == pytest.approx(expected, rel=1e-9)


def test_the_contrastive_loss_has_128_dimensions_and_a_temperature_of_a_tenth_unless_told():
    contrastive = drawn(Contrastive(3, 4))
    assert contrastive.embed_student.out_features == contrastive.embed_teacher.out_features == 128
    found = contrastive(torch.tensor(STUDENT_ND), torch.tensor(TEACHER_ND))
    assert found.item() == pytest.approx(contrastive_formula(contrastive, 0.1)[0], rel=1e-9)


def test_the_contrastive_loss_is_lower_for_the_same_images_than_for_others():
    contrastive, features = drawn(Contrastive(4, 4)), torch.tensor(TEACHER_ND)
    contrastive.embed_student.load_state_dict(contrastive.embed_teacher.state_dict())
    same = contrastive(features, features)
    assert all(same + 1 < contrastive(features.roll(shift, 0), features) for shift in range(1, 6))


def test_student_and_teacher_are_anchors_alike():
    """Why there is no second term with their roles exchanged, as the authors have with their two memory banks."""
    contrastive, exchanged = drawn(Contrastive(3, 4)), Contrastive(4, 3).double()
    exchanged.embed_student, exchanged.embed_teacher = contrastive.embed_teacher, contrastive.embed_student
    student, teacher = torch.tensor(STUDENT_ND), torch.tensor(TEACHER_ND)
    assert torch.allclose(exchanged(teacher, student), contrastive(student, teacher))


def test_the_contrastive_loss_compares_directions():
    contrastive, student, teacher = drawn(Contrastive(3, 4)), torch.tensor(STUDENT_ND), torch.tensor(TEACHER_ND)
    before = contrastive(student, teacher)
    with torch.no_grad():
        for parameter in contrastive.embed_student.parameters():
            parameter.mul_(3)
    assert torch.allclose(contrastive(student, teacher), before)


def test_the_gradient_of_the_contrastive_loss_is_its_derivative_at_a_fixed_c():
    """By differences of the formula: gradcheck alone would move `c` too, which the loss takes as a constant."""
    contrastive, student = drawn(Contrastive(3, 4, width=5, temperature=0.5)), leaf(STUDENT_ND)
    contrastive(student, torch.tensor(TEACHER_ND)).backward()
    _, constant = contrastive_formula(contrastive, 0.5)
    for n, d in np.ndindex(*STUDENT_ND.shape):
        step_ND = np.zeros_like(STUDENT_ND)
        step_ND[n, d] = 1e-6
        up, down = (
            contrastive_formula(contrastive, 0.5, STUDENT_ND + step_ND * way, constant=constant)[0] for way in (1, -1)
        )
        assert float(student.grad[n, d]) == pytest.approx((up - down) / 2e-6, rel=1e-5, abs=1e-7)


def test_both_embeddings_of_the_contrastive_loss_are_trained():
    contrastive = drawn(Contrastive(3, 4))
    contrastive(torch.tensor(STUDENT_ND), torch.tensor(TEACHER_ND)).backward()
    assert all(parameter.grad.abs().max() > 1e-3 for parameter in contrastive.parameters())


def test_one_image_has_nothing_to_be_told_from():
    contrastive, student = drawn(Contrastive(3, 4)), leaf(STUDENT_ND[:1])
    loss = contrastive(student, torch.tensor(TEACHER_ND[:1]))
    assert loss.item() == 0
    assert_finite_with_gradients(loss, student, *contrastive.parameters())


@pytest.mark.parametrize("images", [1, 6])
def test_extreme_features_and_a_temperature_near_0_leave_the_contrastive_loss_finite(images):
    contrastive = drawn(Contrastive(3, 4, temperature=1e-3)).float()
    student = leaf(STUDENT_ND[:images] * 1e4, torch.float32)
    teacher = torch.tensor(TEACHER_ND[:images] * -1e4, dtype=torch.float32)
    assert_finite_with_gradients(contrastive(student, teacher), student, *contrastive.parameters())
