"""Stages have the names that people know, and a network can be cut before each of them."""

import pytest
import torch

from edgetl.errors import ModelError
from edgetl.recipe.networks import ModelConfig
from edgetl.zoo.build import build_classifier
from edgetl.zoo.cut import cut
from edgetl.zoo.stages import find_stage, stages_of

CLASSES = 4
NAMES = {
    ("mobilenetv2", 64): ["conv_stem", *(f"blocks.{n}" for n in range(7)), "conv_head"],
    ("resnet18", 64): ["conv1", "layer1", "layer2", "layer3", "layer4"],
    ("torchvision:mobilenet_v3_small", 64): [f"features.{n}" for n in range(13)],
    ("test_vit", 160): ["patch_embed", "blocks"],
    ("convnext_atto", 64): ["stem", *(f"stages.{n}" for n in range(4))],
}


@pytest.fixture(scope="module", params=NAMES, ids=lambda param: param[0])
def built(request):
    model, side = request.param
    config = ModelConfig(model=model, weights="none", small_images="keep")
    classifier, _ = build_classifier(config, CLASSES, side, seed=0)
    return classifier.eval(), stages_of(classifier, CLASSES, side), side, NAMES[request.param]


def test_stages_have_the_names_of_the_network_and_leave_the_head_out(built):
    classifier, stages, _, names = built
    assert [stage.name for stage in stages] == names
    whole = sum(parameter.numel() for parameter in classifier.parameters())
    head = (
        sum(parameter.numel() for parameter in classifier.net.get_classifier().parameters())
        if hasattr(classifier.net, "get_classifier")
        else 0
    )
    assert sum(stage.parameters for stage in stages) <= whole - head
    assert all(stage.multiply_adds > 0 for stage in stages)


def test_a_tail_answers_as_the_whole_network_does(built):
    classifier, stages, side, _ = built
    images_NHWC = torch.randint(0, 256, (3, side, side, 3), dtype=torch.uint8)
    with torch.inference_mode():
        whole_NK = classifier(images_NHWC)
    for first in range(1, len(stages)):
        parts = cut(classifier, stages, first, side)
        heard = []
        hook = classifier.net.get_submodule(parts.last).register_forward_hook(
            lambda *call, kept=heard: kept.append(call[2])
        )
        with torch.inference_mode():
            classifier(images_NHWC)
            hook.remove()
            assert tuple(heard[0].shape[1:]) == parts.activation_shape
            torch.testing.assert_close(parts.tail(heard[0]), whole_NK, rtol=1e-4, atol=1e-4)


def test_a_tail_shares_the_weights_behind_the_cut_and_has_no_others(built):
    classifier, stages, side, _ = built
    parts = cut(classifier, stages, len(stages) - 1, side)
    own = {id(parameter) for parameter in classifier.parameters()}
    in_tail = {id(parameter) for parameter in parts.tail.parameters()}
    before = {
        id(parameter)
        for stage in stages[:-1]
        for name in stage.modules
        for parameter in classifier.net.get_submodule(name).parameters()
    }
    assert in_tail <= own
    assert not in_tail & before


def test_a_stage_is_found_by_name_or_counted_from_the_end(built):
    _, stages, _, names = built
    assert find_stage(stages, names[1], "it") == 1
    assert find_stage(stages, "1", "it") == len(names) - 1
    with pytest.raises(ModelError) as caught:
        find_stage(stages, "nothing", "it")
    assert f"it: has no stage 'nothing'. Its stages are {', '.join(names)}" in str(caught.value)


class Skipping(torch.nn.Module):
    """A network whose head sees the image itself."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(3, 3, 3, padding=1)
        self.second = torch.nn.Conv2d(3, 3, 3, padding=1)
        self.head = torch.nn.Linear(3, CLASSES)

    def forward(self, images_NCHW):
        return self.head((self.second(self.first(images_NCHW)) + images_NCHW).mean((2, 3)))


def test_a_network_that_skips_the_cut_is_refused():
    from edgetl.zoo.classifier import Classifier

    classifier = Classifier(Skipping(), (0.5,) * 3, (0.5,) * 3).eval()
    stages = stages_of(classifier, CLASSES, 8)
    assert [stage.name for stage in stages] == ["first", "second"]
    with pytest.raises(ModelError, match="Skipping: cannot be trained from 'second' on alone"):
        cut(classifier, stages, 1, 8)
