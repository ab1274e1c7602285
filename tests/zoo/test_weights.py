"""Weights from a file: what may differ from the network, and what is refused."""

import json
import re

import pytest
import torch
from safetensors.torch import save_file

from edgetl.errors import ModelError
from edgetl.recipe.networks import ModelConfig
from edgetl.runs.reporter import Reporter
from edgetl.zoo.build import build_classifier, check_obtainable, native_input


def network(classes, seed=0, model="test_resnet", weights="none"):
    classifier, entry = build_classifier(ModelConfig(model=model, weights=str(weights)), classes, 32, seed=seed)
    return classifier.net, entry


@pytest.fixture
def five_classes(tmp_path):
    """The weights of a network with five outputs, and their file."""
    state = {name: value.contiguous() for name, value in network(5)[0].state_dict().items()}
    header = {"mean": json.dumps([0.1, 0.2, 0.3]), "author": "Ann [1", "model": "resnet"}
    save_file(state, tmp_path / "five.safetensors", metadata=header)
    return state, tmp_path / "five.safetensors"


def differing(state, loaded):
    return sorted(name for name, value in state.items() if not torch.equal(value, loaded.state_dict()[name]))


def test_a_file_of_the_same_classes_is_loaded_whole(five_classes):
    state, file = five_classes
    loaded, entry = network(5, seed=1, weights=file)
    assert differing(state, loaded) == []
    assert entry["origin"]["head_replaced"] is False
    assert len(entry["origin"]["weights_sha256"]) == 64


def test_a_file_of_other_classes_leaves_only_the_head_at_random(five_classes):
    state, file = five_classes
    loaded, entry = network(3, seed=1, weights=file)
    head = ["fc.bias", "fc.weight"]
    kept = {name: value for name, value in state.items() if name not in head}
    assert differing(kept, loaded) == []
    assert loaded.fc.weight.shape == (3, state["fc.weight"].shape[1])
    assert loaded.fc.weight.std() > 0
    assert entry["origin"]["head_replaced"] is True


def test_a_files_header_states_its_normalisation(five_classes):
    native = native_input(ModelConfig(model="test_resnet", weights=str(five_classes[1])))
    assert (native.mean, native.std, native.pretrained) == ((0.1, 0.2, 0.3), (0.5, 0.5, 0.5), True)


def test_a_header_of_our_own_states_how_the_network_was_made(tmp_path):
    file = tmp_path / "own.safetensors"
    state = {name: value.contiguous() for name, value in network(5, model="test_efficientnet")[0].state_dict().items()}
    own = {"arguments": {"pad_type": "same", "drop_rate": 0.5}, "mean": [0.2, 0.2, 0.2], "std": [0.1, 0.1, 0.1]}
    save_file(state, file, metadata={"model": json.dumps(own)})
    _, entry = network(5, model="test_efficientnet", weights=file)
    assert (entry["mean"], entry["std"], entry["arguments"]) == (own["mean"], own["std"], {"pad_type": "same"})


def test_a_file_of_another_model_names_a_tensor_and_the_problem(five_classes):
    with pytest.raises(ModelError) as caught:
        network(5, model="test_efficientnet", weights=five_classes[1])
    assert str(caught.value) == (
        f"{five_classes[1]}: does not fit the model: 4 tensors of other shapes (bn1.weight: 32 in place of 24,"
        " bn1.bias: 32 in place of 24, bn1.running_mean: 32 in place of 24, ...), 71 tensors missing (conv_stem.weight,"
        " blocks.0.0.conv.weight, blocks.0.0.bn1.weight, ...), 87 tensors not part of it (conv1.0.weight,"
        " conv1.1.bias, conv1.1.running_mean, ...)"
    )


def test_a_file_of_another_model_is_refused_before_anything_is_trained(five_classes):
    with pytest.raises(ModelError, match=r"does not fit test_vit: 80 tensors missing .* Name the model that it is of$"):
        check_obtainable(ModelConfig(model="test_vit", weights=str(five_classes[1])), Reporter())
    check_obtainable(ModelConfig(model="test_resnet", weights=str(five_classes[1])), Reporter())


def test_positions_of_another_image_size_are_no_reason_to_refuse_early(tmp_path):
    config = ModelConfig(model="test_vit", weights="none", small_images="keep")
    state = build_classifier(config, 5, 32, seed=0)[0].net.state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "vit.safetensors")
    check_obtainable(ModelConfig(model="test_vit", weights=str(tmp_path / "vit.safetensors")), Reporter())


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda state: state | {"more": torch.zeros(1)}, r"1 tensor not part of it \(more\)"),
        (
            lambda state: state | {"bn1.bias": torch.zeros(7)},
            r"1 tensor of other shapes \(bn1.bias: 7 in place of 32\)",
        ),
        (lambda state: {k: v for k, v in state.items() if k != "fc.bias"}, r"1 tensor missing \(fc.bias\)"),
    ],
)
def test_nothing_but_the_head_may_differ(five_classes, change, problem):
    state, file = five_classes
    save_file(change(state), file)
    with pytest.raises(ModelError, match=f"does not fit the model: {problem}$"):
        network(3, weights=file)


@pytest.mark.parametrize("damage", [b"no safetensors", b"", None])
def test_a_damaged_file_is_one_line(five_classes, damage):
    file = five_classes[1]
    file.write_bytes(file.read_bytes()[:-100] if damage is None else damage)
    with pytest.raises(ModelError, match=r"five\.safetensors: damaged or no safetensors file \(.+\)$") as caught:
        network(5, weights=file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("teacher.pth", "teacher.pth: weights are 'default', 'none' or a .safetensors file (no pickle is ever read)"),
        ("cifar", "cifar: weights are 'default', 'none' or a .safetensors file"),
        ("gone.safetensors", "gone.safetensors: no such weights file"),
    ],
)
def test_what_is_no_weights_file_is_refused(name, message, tmp_path):
    (tmp_path / "teacher.pth").write_bytes(b"a pickle")
    for find in (native_input, lambda config: build_classifier(config, 3, 32, seed=0)):
        with pytest.raises(ModelError) as caught:
            find(ModelConfig(model="test_resnet", weights=str(tmp_path / name) if "." in name else name))
        assert message in str(caught.value)


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ({"mean": '"grey"'}, "its header states mean as grey, not as three numbers"),
        ({"mean": "[0.5, 0.5]"}, "not as three numbers"),
        ({"std": "[0.5, 0.5, NaN]"}, "not as three numbers above 0"),
        ({"std": "[0.5, 0.5, 0]"}, "not as three numbers above 0"),
        ({"timm_kwargs": "[1]"}, "its header states timm_kwargs as [1], not as names and values"),
    ],
)
def test_a_header_that_states_nonsense_is_one_line(header, problem, five_classes):
    state, file = five_classes
    save_file(state, file, metadata=header)
    with pytest.raises(ModelError, match=re.escape(problem)):
        network(5, weights=file)


def test_a_header_that_is_nested_without_end_is_a_text(five_classes):
    state, file = five_classes
    save_file(state, file, metadata={"author": "[" * 100_000})
    assert network(5, weights=file)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda value: value * float("nan"), "fc.weight holds numbers that are infinite or none (NaN)"),
        (lambda value: value.to(torch.int32), "fc.weight holds int32, where the model has decimal numbers"),
        (lambda value: value.to(torch.complex64), "fc.weight holds complex64, where the model has decimal numbers"),
    ],
)
def test_numbers_that_are_no_weights_are_named(change, problem, five_classes):
    state, file = five_classes
    save_file(state | {"fc.weight": change(state["fc.weight"])}, file)
    with pytest.raises(ModelError, match=re.escape(problem)):
        network(5, weights=file)
