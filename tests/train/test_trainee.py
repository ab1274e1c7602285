"""What a step trains: images that start small, weights that are averaged, labels that are mixed."""

import numpy as np
import pytest
import torch
from torch import nn

from edgetl.data.dataset import Batch
from edgetl.recipe.networks import TeacherConfig
from edgetl.train.average import WeightAverage
from edgetl.train.labels import FromLabels, label_loss
from edgetl.train.trainee import Trainee, side_of_step
from edgetl.zoo.classifier import Classifier


def batch(labels, partners=None, shares=None, side=8):
    labels_N = torch.tensor(labels)
    others_N = labels_N if partners is None else torch.tensor(partners)
    shares_N = torch.tensor(shares or [0.0] * len(labels))
    images_NHWC = torch.arange(len(labels) * side * side * 3).reshape(-1, side, side, 3) % 256
    return Batch(images_NHWC.to(torch.uint8), labels_N, torch.arange(len(labels)), 0, 0, others_N, shares_N)


def test_images_grow_to_their_full_size_in_steps_of_32():
    sides = [side_of_step(step, 100, side=224, resize_from=0.5) for step in range(100)]
    assert sorted(set(sides)) == [96, 128, 160, 192, 224]
    assert sides == sorted(sides)
    assert sides[:5] == [96] * 5, "112 is not a step of 32"
    assert sides[70:] == [224] * 30


@pytest.mark.parametrize("side", [16, 100, 224])
def test_without_progressive_resizing_the_size_is_the_contracts(side):
    assert {side_of_step(step, 10, side=side, resize_from=1.0) for step in range(10)} == {side}


def test_small_images_are_not_made_smaller_than_32():
    assert {side_of_step(step, 10, side=16, resize_from=0.5) for step in range(10)} == {16}


class Sides(nn.Module):
    """A network that notes the size of its input, and answers with its mean colours."""

    def forward(self, images_NCHW):
        self.side = images_NCHW.shape[-1]
        return images_NCHW.mean((2, 3))


def test_the_network_sees_the_size_of_the_step():
    trainee = Trainee(Classifier(Sides(), (0.0,) * 3, (1.0,) * 3), FromLabels(0.0), side=8)
    full = trainee(batch([0, 1]))
    assert trainee.classifier.net.side == 8
    trainee.side = 4
    small = trainee(batch([0, 1]))
    assert trainee.classifier.net.side == 4
    assert float(small) == pytest.approx(float(full), rel=0.05), "the same picture, smaller"


def softmax_loss(logits_K, label, smoothing=0.0):
    logs_K = logits_K - np.log(np.exp(logits_K).sum())
    target_K = np.full(len(logits_K), smoothing / len(logits_K))
    target_K[label] += 1 - smoothing
    return -(target_K * logs_K).sum()


LOGITS_NK = np.random.default_rng(0).normal(0, 2, (3, 4))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_mixed_images_have_mixed_labels(smoothing):
    found = label_loss(torch.tensor(LOGITS_NK), batch([0, 1, 2], [3, 3, 3], [0.0, 0.5, 0.25]), smoothing=smoothing)
    expected = np.mean(
        [
            (1 - share) * softmax_loss(logits_K, own, smoothing) + share * softmax_loss(logits_K, 3, smoothing)
            for logits_K, own, share in zip(LOGITS_NK, (0, 1, 2), (0.0, 0.5, 0.25), strict=True)
        ]
    )
    assert float(found) == pytest.approx(expected, rel=1e-6)


def test_images_without_a_label_do_not_count():
    found = label_loss(torch.tensor(LOGITS_NK), batch([0, -1, 2]))
    expected = (softmax_loss(LOGITS_NK[0], 0) + softmax_loss(LOGITS_NK[2], 2)) / 2
    assert float(found) == pytest.approx(expected, rel=1e-6)
    logits_NK = torch.tensor(LOGITS_NK, requires_grad=True)
    nothing = label_loss(logits_NK, batch([-1, -1, -1]))
    nothing.backward()
    assert float(nothing.detach()) == 0
    assert not logits_NK.grad.any()


def test_the_average_is_the_moving_average():
    layer = nn.Linear(1, 1, bias=False)
    average = WeightAverage(layer, 0.5)
    expected = float(layer.weight.detach())
    for number, value in enumerate([1.0, 2.0, 5.0, -3.0] * 5, start=1):
        layer.weight.data.fill_(value)
        average.update()
        decay = min(0.5, (1 + number) / (10 + number))
        expected = decay * expected + (1 - decay) * value
    average.exchange()
    assert float(layer.weight.detach()) == pytest.approx(expected, rel=1e-5)
    average.exchange()
    assert float(layer.weight.detach()) == -3.0


def test_statistics_are_averaged_and_counters_copied():
    norm = nn.BatchNorm1d(2)
    average = WeightAverage(norm, 0.999)
    norm.running_mean.fill_(1.0)
    norm.num_batches_tracked.fill_(7)
    average.update()
    tensors = average.tensors()
    assert tensors["running_mean"].tolist() == pytest.approx([9 / 11] * 2)
    assert int(tensors["num_batches_tracked"]) == 7


def test_an_average_that_is_restored_goes_on_as_it_was():
    layer, other = nn.Linear(2, 2), nn.Linear(2, 2)
    average = WeightAverage(layer, 0.9)
    for value in (1.0, 2.0):
        layer.weight.data.fill_(value)
        average.update()
    second = WeightAverage(other, 0.9)
    second.restore({name: tensor.clone() for name, tensor in average.tensors().items()})
    for each, module in ((average, layer), (second, other)):
        module.weight.data.fill_(4.0)
        module.bias.data.fill_(4.0)
        each.update()
    assert all(torch.equal(a, b) for a, b in zip(average.tensors().values(), second.tensors().values(), strict=True))


def test_the_recipe_refuses_an_average_that_never_moves():
    with pytest.raises(ValueError, match="average_decay"):
        TeacherConfig(average_decay=1.0)
