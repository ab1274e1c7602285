"""Strides that are taken out of a stem so that small images keep a feature map."""

import pytest
import torch

from edgetl.errors import ModelError
from edgetl.recipe.networks import ModelConfig
from edgetl.zoo.build import build_classifier
from edgetl.zoo.small_images import last_grid, remove_strides, strides_to_remove
from edgetl.zoo.torchvision_ops import ensure_torchvision

ensure_torchvision()
import timm  # noqa: E402


def built(model, side, small_images="auto"):
    config = ModelConfig(model=model, weights="none", small_images=small_images)
    classifier, entry = build_classifier(config, 10, side, seed=0)
    return classifier.net, entry


def shapes(network):
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def test_resnet50_at_32_pixels_is_the_cifar_resnet():
    network, entry = built("resnet50", 32)
    assert entry["strides_removed"] == 2
    assert network.conv1.stride == (1, 1)
    assert isinstance(network.maxpool, torch.nn.Identity)
    assert last_grid(network, 32) == 4


@pytest.mark.parametrize(("side", "removed", "grid"), [(16, 3, 4), (32, 2, 4), (64, 1, 4), (96, 0, 3), (224, 0, 7)])
def test_mobilenetv2_loses_no_more_strides_than_it_needs(side, removed, grid):
    network, entry = built("mobilenetv2", side)
    assert entry["strides_removed"] == removed
    assert last_grid(network, side) == grid


def test_the_weights_keep_their_shapes():
    assert shapes(built("mobilenetv2", 16)[0]) == shapes(timm.create_model("mobilenetv2_100", num_classes=10))


def test_keep_leaves_the_network_as_it_is():
    network, entry = built("test_efficientnet", 32, "keep")
    assert entry["strides_removed"] == 0
    assert network.conv_stem.stride == (2, 2)
    assert last_grid(network, 32) == 1


def test_a_stage_with_a_parallel_path_stops_the_search_and_the_network_still_works():
    network = timm.create_model("test_resnet", num_classes=3)
    assert strides_to_remove(network, 16) == 2
    assert last_grid(network, 16) == 2, "the next stride has a shortcut beside it"
    assert network.eval()(torch.zeros(1, 3, 16, 16)).shape == (1, 3)


@pytest.mark.parametrize("model", ["test_resnet", "test_efficientnet"])
def test_removing_by_count_does_what_the_search_did(model):
    searched = timm.create_model(model, num_classes=3).eval()
    repeated = timm.create_model(model, num_classes=3).eval()
    repeated.load_state_dict(searched.state_dict())
    remove_strides(repeated, strides_to_remove(searched, 32))
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(searched(images), repeated(images))


@pytest.mark.parametrize(
    ("side", "small_images", "arguments"),
    [
        (16, "auto", {"img_size": 16, "patch_size": 2}),
        (32, "auto", {"img_size": 32, "patch_size": 4}),
        (32, "keep", {"img_size": 32}),
        (160, "auto", {"img_size": 160}),
    ],
)
def test_a_transformer_gets_smaller_patches_instead(side, small_images, arguments):
    network, entry = built("test_vit", side, small_images)
    assert (entry["arguments"], entry["strides_removed"]) == (arguments, 0)
    assert network.patch_embed.patch_size[0] == arguments.get("patch_size", 16)


@pytest.mark.parametrize(
    ("model", "side", "small_images", "native"),
    [
        ("inceptionv3", 16, "keep", 299),
        ("torchvision:squeezenet1_1", 16, "keep", 224),
        ("torchvision:vit_b_32", 64, "auto", 224),
    ],
)
def test_a_size_that_a_network_cannot_take_names_one_that_it_can(model, side, small_images, native):
    with pytest.raises(ModelError) as caught:
        built(model, side, small_images)
    assert str(caught.value) == f"{model}: cannot take {side} px. Set data.image_size to {native}"
