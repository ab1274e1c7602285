"""Optimizers, and the rates that suit them."""

import pytest
import torch

from edgetl.recipe.networks import TeacherConfig
from edgetl.train.optimizer import make_optimizer, peak_learning_rate, tuning_learning_rate


def test_weights_decay_but_biases_and_norms_do_not():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    network.requires_grad_(True)
    before = [value.detach().clone() for value in network.parameters()]
    optimizer = make_optimizer(network, TeacherConfig(weight_decay=0.5), 0.1)
    for value in network.parameters():
        value.grad = torch.zeros_like(value)
    optimizer.step()
    changed = [not torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True)]
    assert changed == [True, False, False, False]


BATCH_NORM = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
LAYER_NORM = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4))


@pytest.mark.parametrize(
    ("network", "weights", "rate", "expected"),
    [
        (BATCH_NORM, "none", "auto", 0.006),
        (LAYER_NORM, "none", "auto", 0.001),
        (BATCH_NORM, "default", "auto", 0.0005),
        (BATCH_NORM, "default", 0.1, 0.1),
    ],
)
def test_the_automatic_learning_rate_follows_weights_and_network(network, weights, rate, expected):
    config = TeacherConfig(weights=weights, learning_rate=rate)
    assert peak_learning_rate(config, network) == expected


@pytest.mark.parametrize(
    ("network", "fields", "expected"),
    [
        (BATCH_NORM, {"weights": "none"}, 0.1 * 32 / 256),
        (BATCH_NORM, {"weights": "none", "accumulate": 4, "batch_size": 64}, 0.1),
        (LAYER_NORM, {"weights": "none"}, 0.01 * 32 / 256),
        (BATCH_NORM, {"weights": "default"}, 0.02 * 32 / 256),
        (BATCH_NORM, {"learning_rate": 0.3}, 0.3),
    ],
)
def test_the_automatic_rate_of_sgd_follows_the_images_of_a_step(network, fields, expected):
    assert peak_learning_rate(TeacherConfig(optimizer="sgd", **fields), network) == pytest.approx(expected)


def test_a_fitted_head_wants_smaller_rates():
    assert tuning_learning_rate(TeacherConfig()) == 3e-4
    assert tuning_learning_rate(TeacherConfig(optimizer="sgd")) > 3e-4
    assert tuning_learning_rate(TeacherConfig(learning_rate=0.2)) == 0.2


def test_sgd_is_nesterovs_with_momentum_and_a_decay_of_its_own():
    """Two steps by hand, after PyTorch's formula: v = 0.9 v + g, w -= rate (g + 0.9 v)."""
    layer = torch.nn.Linear(1, 1, bias=False)
    layer.weight.data.fill_(1.0)
    optimizer = make_optimizer(layer, TeacherConfig(optimizer="sgd"), 0.1)
    weight, velocity = 1.0, 0.0
    for gradient in (2.0, -1.0):
        layer.weight.grad = torch.full((1, 1), gradient)
        optimizer.step()
        decayed = gradient + 1e-4 * weight
        velocity = 0.9 * velocity + decayed
        weight -= 0.1 * (decayed + 0.9 * velocity)
    assert float(layer.weight.detach()) == pytest.approx(weight, rel=1e-6)


def test_the_rate_of_a_parameter_can_be_a_part_of_the_others():
    layer = torch.nn.Linear(2, 2)
    optimizer = make_optimizer(layer, TeacherConfig(), 0.1, {id(layer.bias): 0.5})
    factors = {group["params"][0]: group["factor"] for group in optimizer.param_groups}
    assert factors == {layer.weight: 1.0, layer.bias: 0.5}
