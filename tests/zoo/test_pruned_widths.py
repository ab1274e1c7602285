"""Pruned networks that are built again, from a weights file and from a run."""

import json

import pytest
import small_run
import torch
from safetensors.torch import load_file, save_file

from edgetl.errors import ModelError
from edgetl.prune.cutting import Cutter
from edgetl.recipe.networks import ModelConfig
from edgetl.runs.folder import WEIGHTS_FILE
from edgetl.train.weights import write_weights
from edgetl.zoo.build import build_classifier, load_classifier

IMAGES = torch.randint(0, 256, (3, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
MODELS = ["test_resnet", "test_efficientnet", "mobilenetv3_small", "torchvision:mobilenet_v2"]
PRUNED = {"kept": 0.5, "multiple": 8}


def pruned(place, model="test_efficientnet"):
    """A pruned network, its manifest's entry, and its file, as the stages leave them."""
    whole, entry = build_classifier(ModelConfig(model=model, weights="none"), 5, 16, seed=0)
    cut = Cutter(whole, 16).cut(0.5, 8)
    entry = {**entry, "pruned": PRUNED}
    file = place / WEIGHTS_FILE
    write_weights(file, cut, entry)
    return cut, entry, file


def built(model, file, classes=5):
    return build_classifier(ModelConfig(model=model, weights=str(file)), classes, 16, seed=1)


def logits(classifier):
    with torch.inference_mode():
        return classifier.eval()(IMAGES)


@pytest.mark.parametrize("model", MODELS)
def test_a_pruned_network_is_built_again(model, tmp_path):
    cut, entry, file = pruned(tmp_path, model)
    again, entry_again = built(model, file)
    from_run = load_classifier(small_run.run_of(tmp_path, model=entry_again))
    assert torch.equal(logits(again), logits(cut))
    assert torch.equal(logits(from_run), logits(cut))
    assert entry_again["pruned"] == PRUNED
    assert entry_again["parameters"] == sum(p.numel() for p in cut.parameters()) < entry["parameters"]
    assert entry_again["strides_removed"] == entry["strides_removed"] > 0


def test_the_layers_know_their_new_sizes(tmp_path):
    """Exporters read them and not the shapes of the weights."""
    cut, _, file = pruned(tmp_path)
    again, _ = built("test_efficientnet", file)
    for ours, theirs in zip(again.net.modules(), cut.net.modules(), strict=True):
        names = ("in_channels", "out_channels", "groups", "num_features", "in_features", "out_features")
        assert [getattr(ours, name, None) for name in names] == [getattr(theirs, name, None) for name in names]


def test_other_classes_give_a_pruned_network_a_new_head(tmp_path):
    cut, _, file = pruned(tmp_path)
    other, entry = built("test_efficientnet", file, classes=3)
    assert logits(other).shape == (3, 3)
    assert entry["origin"]["head_replaced"] is True
    assert torch.equal(other.net.conv_stem.weight, cut.net.conv_stem.weight)
    assert 0 < other.net.classifier.weight.std() < 0.02


def test_only_what_says_that_it_is_pruned_may_have_other_widths(tmp_path):
    _, entry, file = pruned(tmp_path)
    plain = {name: value for name, value in entry.items() if name != "pruned"}
    save_file(load_file(file), file, metadata={"model": json.dumps(plain)})
    with pytest.raises(ModelError, match=r"does not fit the model: [0-9]+ tensors of other shapes \("):
        built("test_efficientnet", file)
    with pytest.raises(ModelError, match=r"does not fit the model: [0-9]+ tensors of other shapes \("):
        load_classifier(small_run.run_of(tmp_path, model=plain))


def test_a_pruned_file_of_another_network_is_refused(tmp_path):
    _, _, file = pruned(tmp_path)
    with pytest.raises(ModelError, match="does not fit the model"):
        built("test_resnet", file)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda state: state | {"more": torch.zeros(1)}, r"1 tensor not part of it \(more\)"),
        (lambda state: state | {"bn1.bias": torch.zeros(7)}, r"1 tensor of other shapes \(bn1.bias: 7 in place of"),
        (lambda state: {k: v for k, v in state.items() if k != "bn1.weight"}, "tensors "),
        (lambda state: state | {"conv_stem.weight": torch.zeros(8, 3, 5, 5)}, "1 tensor of other shapes"),
    ],
)
def test_a_pruned_file_that_does_not_fit_is_one_line(change, problem, tmp_path):
    _, entry, file = pruned(tmp_path)
    save_file(change(load_file(file)), file, metadata={"model": json.dumps(entry)})
    with pytest.raises(ModelError, match=f"does not fit the model: .*{problem}") as caught:
        built("test_efficientnet", file)
    assert "\n" not in str(caught.value)
