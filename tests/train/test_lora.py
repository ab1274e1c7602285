"""LoRA: low-rank updates of a small transformer that knows digits, merged into its weights in the end."""

import json
import re

import pytest
import small_run
import torch
from heard import Heard
from safetensors.torch import load_file, save_file
from shell import paint_folder

from edgetl.errors import ConfigError
from edgetl.recipe.networks import ModelConfig
from edgetl.runs.files import sha256_of
from edgetl.train.adapters import adapted, plain_state
from edgetl.train.checking import check_strategy
from edgetl.train.state import TrainingState
from edgetl.zoo.build import build_classifier
from edgetl.zoo.products import matrix_products

LORA = {"strategy": "lora", "lora_rank": 4, "tuning_epochs": 3, "learning_rate": 0.003}
SIDE, CLASSES, SPEAKING = 32, 4, 3
HEADER = {"mean": "[0.5,0.5,0.5]", "std": "[0.5,0.5,0.5]"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A small transformer of which three channels speak: what its blocks know does not reach a head."""
    config = ModelConfig(model="test_vit", weights="none", small_images="keep")
    net = build_classifier(config, CLASSES, SIDE, seed=0)[0].net
    tensors = {name: value.clone().contiguous() for name, value in net.state_dict().items()}
    tensors["norm.weight"] = (torch.arange(len(tensors["norm.weight"])) < SPEAKING).float()
    file = tmp_path_factory.mktemp("lora") / "quiet.safetensors"
    save_file(tensors, file, HEADER)
    return str(file)


@pytest.fixture(scope="module")
def learn(weights, tmp_path_factory):
    """Fine-tune it on stripes: `run = learn("name", strategy="lora")`."""
    base = tmp_path_factory.mktemp("lora-runs")
    data = paint_folder(base / "stripes", {"across": 24, "down": 24, "fine": 24, "steep": 24})

    def run(place, reporter=None, **teacher):
        network = {"model": "test_vit", "small_images": "keep", "batch_size": 8, "weights": weights}
        settings = small_run.recipe(
            data={"path": str(data), "image_size": SIDE, "resize": "crop"},
            augment={"flip": False, "crop_area": 0.9, "colour": 0},
            teacher=network | teacher,
        )
        return small_run.made(settings, base / place, "teacher", ("data", "finetune"), reporter or Heard())

    return run


@pytest.fixture(scope="module")
def updated(learn):
    return learn("updated", **LORA)


def test_only_low_rank_updates_and_the_head_are_learned_and_merged(updated, weights):
    before, after = load_file(weights), load_file(updated.file("model.safetensors"))
    assert {name: value.shape for name, value in after.items()} == {n: v.shape for n, v in before.items()}
    products = updated.manifest["stages"]["finetune"]["learned"]["lora"]["products"]
    assert len(products) == 6 * 4
    for name, value in before.items():
        change = after[name] - value
        if name.removesuffix(".weight") in products:
            strengths = torch.linalg.svdvals(change)
            assert strengths[0] > 1e-4
            assert strengths[4] < 1e-4 * strengths[0], f"{name}: the rank of its change is at most 4"
        elif name.startswith("head"):
            assert change.abs().max() > 0
        else:
            assert change.abs().max() == 0, name


def test_it_learns_what_its_head_alone_does_not(updated, learn):
    alone = learn("alone", strategy="features")
    learned = updated.manifest["stages"]["finetune"]["learned"]
    assert learned["strategy"] == "lora"
    assert learned["reason"] == "updates of rank 4 of 24 matrix products were trained, from a fitted head"
    assert (learned["lora"]["rank"], learned["lora"]["alpha"]) == (4, 8)
    losses = [json.loads(line)["loss"] for line in updated.file("metrics.jsonl").read_text().splitlines()]
    assert losses[-1] < losses[0]
    found, floor = (run.manifest["metrics"]["finetune"]["test_loss"] for run in (updated, alone))
    assert found < floor


def test_a_stopped_training_goes_on_to_the_same_weights(updated, learn, monkeypatch):
    class Stop(BaseException):
        pass

    plain, count = TrainingState.average, 0

    def stopping(state):
        nonlocal count
        count += 1
        if count == 20:
            raise Stop
        plain(state)

    monkeypatch.setattr(TrainingState, "average", stopping)
    monkeypatch.setattr("edgetl.train.checkpoint.Rhythm.is_time", lambda _: True)
    with pytest.raises(Stop):
        learn("stopped", **LORA)
    heard = Heard()
    resumed = learn("stopped", heard, **LORA)
    assert any(re.search(r"going on after step 19 of", line) for line in heard.lines)
    for name in ("model.safetensors", "metrics.jsonl"):
        assert sha256_of(updated.file(name)) == sha256_of(resumed.file(name))


@pytest.mark.parametrize("model", ["mobilenetv3_small", "efficientnet_lite0", "torchvision:mobilenet_v3_small"])
def test_a_network_without_matrix_products_is_refused_before_anything_is_trained(model):
    with pytest.raises(ConfigError) as caught:
        check_strategy(ModelConfig(model=model, strategy="lora"), "student", "auto")
    assert str(caught.value) == (
        f"student.strategy: {model} has no matrix products besides its head, which 'lora' could update."
        " Use 'partial', which trains the last stages, or 'auto', which tries whether that helps."
    )


def test_a_program_that_skips_the_check_is_refused_by_the_stage(learn):
    with pytest.raises(ConfigError, match="test_resnet has no matrix products"):
        learn("refused", strategy="lora", model="test_resnet", weights="none")


def test_products_are_what_runs_at_every_position():
    classifier, _ = build_classifier(ModelConfig(model="test_convnext", weights="none"), 3, 32, seed=0)
    assert matrix_products(classifier, 3, 32)[:2] == ["stages.0.blocks.0.mlp.fc1", "stages.0.blocks.0.mlp.fc2"]


def test_weights_written_while_it_is_trained_are_those_of_the_plain_network(weights):
    config = ModelConfig(model="test_vit", weights=weights, small_images="keep")
    classifier, _ = build_classifier(config, CLASSES, SIDE, seed=0)
    names = [name for name, _ in classifier.net.named_parameters()]
    products = matrix_products(classifier, CLASSES, SIDE)
    with adapted(classifier.net, products, classifier.net.head, rank=2, seed=0) as trained:
        assert trained == sum(p.numel() for p in classifier.net.parameters() if p.requires_grad)
        for name, parameter in classifier.net.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter)
        during = plain_state(classifier.net)
    after = classifier.net.state_dict()
    assert list(after) == list(during)
    assert [name for name, _ in classifier.net.named_parameters()] == names
    assert not torch.equal(after["blocks.0.attn.qkv.weight"], load_file(weights)["blocks.0.attn.qkv.weight"])
    for name, value in after.items():
        torch.testing.assert_close(during[name], value)
    assert all(parameter.requires_grad for parameter in classifier.net.parameters())
