"""Which channels go, how many stay, and what is left alone."""

import pytest
import torch

from edgetl.prune.cutting import Cutter, channels_kept
from edgetl.recipe.networks import ModelConfig
from edgetl.zoo.build import build_classifier
from edgetl.zoo.head import last_layer

CLASSES = 5
IMAGES = torch.randint(0, 256, (8, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def network(model="test_efficientnet"):
    return build_classifier(ModelConfig(model=model, weights="none"), CLASSES, 16, seed=0)[0].eval()


def widths(classifier):
    return {n: m.out_channels for n, m in classifier.net.named_modules() if isinstance(m, torch.nn.Conv2d)}


@pytest.mark.parametrize(
    ("width", "kept", "multiple", "left"),
    [(64, 0.5, 8, 32), (64, 0.5, 16, 32), (24, 0.5, 8, 16), (24, 0.5, 16, 16), (20, 0.1, 8, 8), (6, 0.1, 8, 6)],
)
def test_channels_stay_in_multiples_and_never_none(width, kept, multiple, left):
    assert channels_kept(width, kept, multiple) == left


@pytest.mark.parametrize("multiple", [8, 16])
@pytest.mark.parametrize("model", ["test_efficientnet", "test_resnet", "mobilenetv3_small", "torchvision:mobilenet_v2"])
def test_what_is_left_is_in_multiples_and_runs(model, multiple):
    whole = network(model)
    before = widths(whole)
    cut = Cutter(whole, 16).cut(0.4, multiple)
    after = widths(cut)
    assert after != before
    assert all(width % multiple == 0 or width == before[name] for name, width in after.items())
    with torch.inference_mode():
        assert cut(IMAGES).shape == (8, CLASSES)
    assert not cut.training
    assert widths(whole) == before


def test_pixels_and_classes_are_left_alone():
    cut = Cutter(network(), 16).cut(0.3, 8).net
    assert next(m for m in cut.modules() if isinstance(m, torch.nn.Conv2d)).in_channels == 3
    assert last_layer(cut, CLASSES).weight.shape[0] == CLASSES


def test_the_hidden_layer_of_a_head_is_left_alone():
    config = ModelConfig(model="test_efficientnet", weights="none", head_units=24)
    cut = Cutter(build_classifier(config, CLASSES, 16, seed=0)[0].eval(), 16).cut(0.3, 8)
    linear = last_layer(cut.net, CLASSES)
    assert cut.net.classifier.head_hidden.weight.shape == (24, linear.in_features)
    assert cut.net.classifier.head_output.weight.shape == (CLASSES, 24)
    with torch.inference_mode():
        assert cut(IMAGES).shape == (8, CLASSES)


def test_the_least_important_channels_go():
    """Channels that do nothing can go without a trace."""
    whole = network("test_resnet")
    conv, norm = whole.net.layer3[0].conv1, whole.net.layer3[0].bn1
    idle = torch.arange(len(conv.weight)) % 2 == 1
    for each in (conv.weight, norm.weight, norm.bias):
        each.data[idle] = 0
    cut = Cutter(whole, 16).cut(0.5, 8)
    torch.testing.assert_close(cut.net.layer3[0].conv1.weight.shape[0], int((~idle).sum()))
    assert (cut.net.layer3[0].bn1.weight != 0).all()
