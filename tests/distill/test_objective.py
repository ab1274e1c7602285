"""What a student minimises: the recipe's losses with the recipe's weights and temperature."""

import pytest
import torch

from edgetl.data.dataset import Batch
from edgetl.distill.losses import decoupled_kd, dist, hinton_kd
from edgetl.distill.objective import FromTeacher
from edgetl.distill.settled import losses_of
from edgetl.recipe.networks import DistillConfig
from edgetl.train.labels import label_loss

STUDENT_NK, TEACHER_NK = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0)).mul(3)
LABELS_N = torch.tensor([0, 3, -1, 1, 2, 2])
KNOWN_N = torch.where(LABELS_N >= 0, LABELS_N, TEACHER_NK.argmax(1))


class SameAnswers:
    """A teacher that says the same whatever it is asked."""

    def logits(self, _batch):
        return TEACHER_NK


def loss(smoothing=0.0, weights_K=None, **config):
    nothing = torch.zeros(6)
    images_NHWC = torch.zeros((6, 1, 1, 3), dtype=torch.uint8)
    batch = Batch(images_NHWC, LABELS_N, torch.arange(6), 0, 0, LABELS_N, nothing)
    alone = label_loss(STUDENT_NK, batch, smoothing=smoothing, weights_K=weights_K)
    asked = losses_of(DistillConfig.model_validate(config))
    objective = FromTeacher(asked, SameAnswers(), smoothing=smoothing, weights_K=weights_K)
    return float(objective(STUDENT_NK, batch)), float(alone)


@pytest.mark.parametrize("temperature", [1.0, 8.0])
def test_the_temperature_is_the_recipes(temperature):
    """An image without a label has the teacher's best class for the loss that needs one."""
    expected = {
        "kd": hinton_kd(STUDENT_NK, TEACHER_NK, temperature),
        "dkd": decoupled_kd(STUDENT_NK, TEACHER_NK, KNOWN_N, temperature),
        "dist": dist(STUDENT_NK, TEACHER_NK, temperature),
    }
    for name, value in expected.items():
        found, _ = loss(loss={name: 1.0}, temperature=temperature)
        assert found == pytest.approx(float(value), rel=1e-6)


def test_the_loss_is_the_weighted_sum():
    weights = {"kd": 0.5, "hard": 2.0, "dist": 0.25}
    alone = {name: loss(loss={name: 1.0})[0] for name in weights}
    assert loss(loss=weights)[0] == pytest.approx(sum(weight * alone[name] for name, weight in weights.items()))


def test_the_true_labels_are_smoothed_as_the_recipe_says():
    found, expected = loss(loss={"hard": 1.0}, smoothing=0.3)
    assert found == pytest.approx(expected)
    assert found != pytest.approx(loss(loss={"hard": 1.0})[0], rel=1e-2)


def test_classes_weigh_in_the_loss_of_the_true_labels_alone():
    weights_K = torch.tensor([4.0, 0.5, 1.0, 2.0])
    found, expected = loss(loss={"hard": 1.0}, weights_K=weights_K)
    assert found == pytest.approx(expected)
    assert found != pytest.approx(loss(loss={"hard": 1.0})[0], rel=1e-2)
    assert loss(loss={"kd": 1.0}, weights_K=weights_K) == (loss(loss={"kd": 1.0})[0], expected)
