"""One optimizer step: in parts, clipped, and in half precision."""

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from edgetl.data.dataset import Batch
from edgetl.recipe.networks import TeacherConfig
from edgetl.train.labels import FromLabels
from edgetl.train.step import Stepper, is_half
from edgetl.train.trainee import Trainee
from edgetl.zoo.classifier import Classifier

CPU = torch.device("cpu")


def batch(images):
    generator = torch.Generator().manual_seed(0)
    pixels_NHWC = torch.randint(0, 256, (images, 6, 6, 3), generator=generator, dtype=torch.uint8)
    labels_N, places_N = torch.arange(images) % 3, torch.arange(images)
    return Batch(pixels_NHWC, labels_N, places_N, 0, 0, labels_N.flip(0), torch.full((images,), 0.2))


class Sizes(nn.Module):
    """A small network that notes how many images it is given at once."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.GELU(), nn.Flatten(), nn.Linear(64, 3))
        self.seen = []

    def forward(self, images_NCHW):
        self.seen.append(len(images_NCHW))
        return self.layers(images_NCHW)


def stepped(images=12, part=64, rate=0.1, **fields):
    """A network after one step of plain SGD, and the step's loss."""
    torch.manual_seed(0)
    classifier = Classifier(Sizes(), (0.5,) * 3, (0.5,) * 3)
    trainee = Trainee(classifier, FromLabels(0.1), side=6)
    config = TeacherConfig(**fields)
    optimizer = torch.optim.SGD(trainee.parameters(), lr=rate)
    accelerator = Accelerator(cpu=True)
    stepper = Stepper(trainee, optimizer, accelerator, config, part=part, half=is_half(config, "teacher", CPU))
    before = [value.detach().clone() for value in trainee.parameters()]
    loss = stepper.step(batch(images))
    moved = [old - new.detach() for old, new in zip(before, trainee.parameters(), strict=True)]
    return moved, float(loss), classifier.net.seen


@pytest.mark.parametrize(("part", "sizes"), [(6, [6, 6]), (4, [4, 4, 4]), (5, [4, 4, 4]), (11, [6, 6])])
def test_a_step_in_parts_is_that_of_the_whole_batch(part, sizes):
    whole, loss, seen = stepped()
    parts, loss_of_parts, seen_in_parts = stepped(part=part)
    assert (seen, seen_in_parts) == ([12], sizes)
    assert loss_of_parts == pytest.approx(loss, rel=1e-6)
    for ours, theirs in zip(parts, whole, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


def test_unequal_parts_count_by_their_images():
    whole, loss, _ = stepped(images=11)
    parts, loss_of_parts, seen = stepped(images=11, part=4)
    assert seen == [3, 4, 4]
    assert loss_of_parts == pytest.approx(loss, rel=1e-6)
    for ours, theirs in zip(parts, whole, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


def norm(moved):
    return float(torch.stack([value.norm() for value in moved]).norm())


def test_gradients_are_scaled_to_the_largest_norm_and_short_ones_left_alone():
    free = stepped(rate=1.0)[0]
    clipped = stepped(rate=1.0, clip_norm=0.01)[0]
    assert norm(free) > 0.1
    assert norm(clipped) == pytest.approx(0.01, rel=1e-3)
    torch.testing.assert_close(clipped[0] / norm(clipped), free[0] / norm(free), rtol=1e-3, atol=1e-5)
    untouched = stepped(rate=1.0, clip_norm=100.0)[0]
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(untouched, free, strict=True))


def test_half_precision_is_near_and_not_the_same():
    full, loss, _ = stepped()
    half, loss_of_half, _ = stepped(precision="bf16")
    assert loss_of_half == pytest.approx(loss, rel=0.02)
    assert loss_of_half != loss
    assert half[0].dtype == torch.float32
    assert not torch.equal(half[0], full[0])


def test_a_cpu_computes_in_full_precision_unless_it_is_asked():
    asked = {each: is_half(TeacherConfig(precision=each), "teacher", CPU) for each in ("auto", "fp32", "bf16")}
    assert asked == {"auto": False, "fp32": False, "bf16": True}
