"""A classifier that is built, and built again from what the manifest says of it."""

import numpy as np
import pytest
import small_run
import torch
from safetensors.torch import save_file

from edgetl.errors import ModelError, RunFolderError
from edgetl.recipe.networks import ModelConfig
from edgetl.zoo.build import build_classifier, load_classifier, native_input

IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8))
MODELS = ["test_resnet", "test_efficientnet", "test_vit", "torchvision:squeezenet1_1", "torchvision:mnasnet0_5"]


def built(model, classes=5, side=16, seed=0, **options):
    return build_classifier(ModelConfig(model=model, **{"weights": "none"} | options), classes, side, seed=seed)


def logits(classifier, images=IMAGES):
    with torch.inference_mode():
        return classifier.eval()(images)


@pytest.mark.parametrize("model", MODELS)
def test_what_the_manifest_says_builds_the_same_network_again(model, tmp_path):
    classifier, entry = built(model)
    state = {name: value.contiguous() for name, value in classifier.net.state_dict().items()}
    save_file(state, tmp_path / "model.safetensors")
    again = load_classifier(small_run.run_of(tmp_path, model=entry))
    assert not again.training
    assert torch.equal(logits(again), logits(classifier))
    assert entry["parameters"] == sum(parameter.numel() for parameter in again.parameters())


def test_a_run_without_weights_says_so(tmp_path):
    with pytest.raises(RunFolderError, match=r"model\.safetensors: no such file"):
        load_classifier(small_run.run_of(tmp_path))


def test_the_seed_decides_the_random_start():
    first, same, other = (logits(built("test_resnet", seed=seed)[0]) for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.allclose(first, other)


@pytest.mark.parametrize("model", [*MODELS, "mobilenetv2", "torchvision:mobilenet_v2"])
def test_the_first_answers_of_a_new_head_are_undecided(model):
    # In training mode: without the statistics of real images, what reaches the head has no scale of its own.
    with torch.no_grad():
        answers = built(model, classes=10, side=32)[0].train()(IMAGES.repeat(4, 2, 2, 1))
    assert 0 < answers.std() < 0.6


def test_raw_pixels_are_normalised_inside():
    classifier, entry = built("test_efficientnet")
    mean, std = torch.tensor(entry["mean"]), torch.tensor(entry["std"])
    normalised_NCHW = ((IMAGES / 255 - mean) / std).permute(0, 3, 1, 2)
    with torch.inference_mode():
        expected = classifier.eval().net(normalised_NCHW)
    torch.testing.assert_close(logits(classifier), expected, rtol=1e-4, atol=1e-5)
    assert entry["mean"] == [0.485, 0.456, 0.406]


def test_filters_lie_channels_last():
    """In which a CPU trains a MobileNet twice as fast; benchmarks/chain.py has the time."""
    filters = built("test_resnet")[0].net.conv1[0].weight
    assert filters.is_contiguous(memory_format=torch.channels_last)


def test_a_model_with_several_outputs_is_refused_in_one_line():
    class Several(torch.nn.Module):
        def forward(self, images):
            return images, images

    from edgetl.zoo.classifier import Classifier

    with pytest.raises(ModelError, match="Several returns several outputs"):
        Classifier(Several(), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))(IMAGES)


@pytest.mark.parametrize(
    ("model", "size", "mean"),
    [("inceptionv3", 299, 0.5), ("test_resnet", 160, 0.5), ("torchvision:mobilenet_v2", 224, 0.485)],
)
def test_the_native_input_is_known_without_building(model, size, mean):
    native = native_input(ModelConfig(model=model))
    assert (native.native_size, native.mean[0], native.pretrained) == (size, mean, True)
    assert not native_input(ModelConfig(model=model, weights="none")).pretrained
