"""Dropout and stochastic depth: in training alone, where the network has them, and nowhere in what is kept."""

from copy import deepcopy

import numpy as np
import pytest
import small_run
import torch
from safetensors.torch import save_file

from edgetl.errors import ModelError
from edgetl.recipe.networks import ModelConfig
from edgetl.runs.reporter import Reporter
from edgetl.zoo.build import build_classifier, check_obtainable, load_classifier

IMAGES_NHWC = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8))


def config(model, **options):
    return ModelConfig(model=model, weights="none", **options)


def built(model, **options):
    return build_classifier(config(model, **options), 5, 32, seed=0)


def answers(classifier, seed, *, train):
    classifier.train(train)
    for module in classifier.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval()
    torch.manual_seed(seed)
    with torch.no_grad():
        return classifier(IMAGES_NHWC)


def is_random(classifier):
    other = deepcopy(classifier)
    for module in other.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(module.weight)  # timm starts residual blocks at zero, which can be skipped unnoticed
    return not torch.equal(answers(other, 0, train=True), answers(other, 1, train=True))


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("test_resnet", {"dropout": 0.4}),
        ("test_resnet", {"stochastic_depth": 0.4}),
        ("test_efficientnet", {"dropout": 0.4}),
        ("test_vit", {"stochastic_depth": 0.4}),
        ("torchvision:squeezenet1_1", {"dropout": 0.2}),
        ("torchvision:efficientnet_b0", {"stochastic_depth": 0.4, "dropout": 0.0}),
    ],
)
def test_training_drops_and_answers_do_not(model, options, tmp_path):
    classifier, entry = built(model, **options)
    assert is_random(classifier)
    state = {name: value.contiguous() for name, value in classifier.net.state_dict().items()}
    save_file(state, tmp_path / "model.safetensors")
    again = load_classifier(small_run.run_of(tmp_path, model=entry))
    assert torch.equal(answers(again, 0, train=False), answers(classifier, 1, train=False))
    plain, plain_entry = built(model)
    assert entry == plain_entry
    assert torch.equal(answers(plain, 0, train=False), answers(classifier, 1, train=False)), "the start is the same"


def test_nothing_is_dropped_unless_it_is_asked_for():
    assert not is_random(built("test_resnet")[0])
    assert is_random(built("torchvision:squeezenet1_1")[0]), "torchvision has it by itself"
    assert not is_random(built("torchvision:squeezenet1_1", dropout=0.0)[0])


@pytest.mark.parametrize(
    ("model", "field"),
    [
        ("vgg11", "stochastic_depth"),
        ("torchvision:resnet18", "dropout"),
        ("torchvision:squeezenet1_1", "stochastic_depth"),
        ("torchvision:mobilenet_v3_small", "stochastic_depth"),
    ],
)
def test_a_network_without_it_is_refused_before_anything_is_trained(model, field):
    expected = f"{model}: has no {field} that its library can set. Leave {field} at 'auto'"
    for act in (
        lambda asked: build_classifier(asked, 5, 32, seed=0),
        lambda asked: check_obtainable(asked, Reporter()),
    ):
        with pytest.raises(ModelError) as caught:
            act(config(model, **{field: 0.1}))
        assert str(caught.value) == expected
