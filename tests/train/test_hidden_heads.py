"""A hidden layer in the head: it says what a linear head cannot, is kept in files and exports, and costs no answers."""

import json

import numpy as np
import pytest
import small_run
import torch
from heard import Heard
from safetensors.torch import load_file

from edgetl.errors import ModelError
from edgetl.recipe.networks import ModelConfig
from edgetl.train.backbone import is_linear, put_head
from edgetl.train.fitted_head import Head, HiddenLayer, logits_of
from edgetl.train.folds import folds_of
from edgetl.train.hidden import HiddenFit
from edgetl.train.probe import Examples, fit_probe, refit
from edgetl.zoo.build import build_classifier, load_classifier
from edgetl.zoo.head import FeatureTap, last_layer
from edgetl.zoo.stages import stages_of

CLASSES, SIDE, UNITS = 4, 32, 24


def examples(labelled, images=240, views=3, seed=0):
    """Points of a plane in eight dimensions, each with its class."""
    rng = np.random.default_rng(seed)
    plain_ND = rng.normal(size=(images, 8))
    labels_N = labelled(plain_ND)
    features_RND = (plain_ND + 0.05 * rng.normal(size=(views, images, 8))).astype(np.float32)
    targets_RNK = np.broadcast_to(np.eye(2, dtype=np.float32)[labels_N], (views, images, 2))
    return Examples(features_RND, targets_RNK, labels_N, np.ones(images, np.float32))


def crossed(plain_ND):
    """A class that no plane divides from the other."""
    return (plain_ND[:, 0] * plain_ND[:, 1] > 0).astype(np.int64)


def divided(plain_ND):
    """A class on one side of a plane, but for a fifth of the points, which no head can know."""
    is_wrong = np.random.default_rng(3).random(len(plain_ND)) < 0.2
    return ((plain_ND[:, 0] > 0) ^ is_wrong).astype(np.int64)


@pytest.fixture
def faster(monkeypatch):
    """Points of a plane want larger steps than features of images."""
    monkeypatch.setattr("edgetl.train.hidden._RATE", 3e-2)


def test_it_says_what_a_linear_head_cannot(faster):
    known = examples(crossed)
    folds = folds_of(known.labels_N, 4, seed=0)
    linear, hidden = fit_probe(known, folds), fit_probe(known, folds, HiddenFit(64, 0.2, 0))
    assert linear.top1 < 0.65
    assert hidden.top1 > linear.top1 + 0.15
    assert hidden.sentence() == "logistic regression and 64 hidden units on 3 views of each image"
    fresh = examples(crossed, images=2000, seed=7)
    head = refit(known, hidden, np.arange(240))
    reached = (logits_of(head, fresh.features_RND[0]).argmax(1) == fresh.labels_N).mean()
    assert abs(reached - hidden.top1) < 0.08


def test_a_linear_head_is_kept_where_it_is_as_good(faster):
    known = examples(divided)
    assert fit_probe(known, folds_of(known.labels_N, 4, seed=0), HiddenFit(64, 0.2, 0)).hidden is None


def test_the_same_seed_fits_the_same_layer(faster):
    known = examples(crossed)
    folds = folds_of(known.labels_N, 4, seed=0)
    heads = [refit(known, fit_probe(known, folds, HiddenFit(16, 0.2, seed)), np.arange(240)) for seed in (0, 0, 1)]
    outputs = [head.hidden.output_KU for head in heads]
    assert np.array_equal(outputs[0], outputs[1])
    assert not np.array_equal(outputs[0], outputs[2])


@pytest.mark.parametrize("model", ["test_resnet", "test_vit", "torchvision:mobilenet_v3_small"])
def test_the_network_answers_as_the_head_that_it_is_given(model):
    config = ModelConfig(model=model, weights="none", head_units=UNITS)
    classifier, entry = build_classifier(config, CLASSES, SIDE, seed=0)
    assert entry["head_units"] == UNITS
    tap = FeatureTap(classifier.net, CLASSES)
    rng = np.random.default_rng(0)
    drawn = [rng.normal(size=shape).astype(np.float32) for shape in ((CLASSES, tap.width), (CLASSES,))]
    beside = [rng.normal(size=shape).astype(np.float32) for shape in ((UNITS, tap.width), (UNITS,), (CLASSES, UNITS))]
    pixels = torch.from_numpy(rng.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8))
    for head in (Head(*drawn, HiddenLayer(*beside)), Head(*drawn)):
        put_head(classifier, head)
        with torch.inference_mode():
            logits_NK = classifier.eval()(pixels)
        np.testing.assert_allclose(logits_NK, logits_of(head, tap.take().numpy()), rtol=1e-4, atol=1e-4)
        assert is_linear(classifier, CLASSES, SIDE)
    names = [name for stage in stages_of(classifier, CLASSES, SIDE) for name in stage.modules]
    assert not any("head_" in name for name in names), "the head is no stage"


def test_a_head_that_is_a_convolution_takes_none():
    config = ModelConfig(model="torchvision:squeezenet1_1", weights="none", head_units=8)
    with pytest.raises(ModelError, match="last layer is not linear"):
        build_classifier(config, CLASSES, 64, seed=0)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two epochs of partial training of a network with a hidden layer, and its files in every format."""
    base = tmp_path_factory.getbasetemp()
    weights = small_run.weights_of_digits(base)["damaged"]
    settings = small_run.recipe(
        data={"path": str(small_run.few_digits(base)), "image_size": SIDE, "resize": "crop"},
        teacher={"model": "test_resnet", "train_from": "layer4", "small_images": "keep", "weights": weights}
        | {"strategy": "partial", "tuning_epochs": 2, "learning_rate": 0.01, "head_units": UNITS},
    )
    return small_run.made(
        settings, base / "hidden", "teacher", ("data", "finetune", "export", "quantize", "verify"), Heard()
    )


def test_training_trains_it_and_the_run_builds_it_again(run):
    state = load_file(run.file("model.safetensors"))
    output = next(value for name, value in state.items() if name.endswith("head_output.weight"))
    assert output.abs().max() > 0
    classifier = load_classifier(run)
    assert {name for name, _ in classifier.net.named_parameters()} <= state.keys()


def test_every_format_answers_as_the_network_does(run):
    proved = json.loads(run.file("verify.json").read_bytes())["artifacts"]
    found = {(each["format"], each["precision"], each["verdict"]["status"]) for each in proved}
    expected = {(name, precision, "PASS") for name in ("onnx", "openvino", "tflite") for precision in ("fp32", "w8a8")}
    assert found == expected


def test_a_file_with_one_starts_networks_with_and_without(run):
    path = str(run.file("model.safetensors"))
    state = load_file(path)
    for units, is_taken in ((UNITS, True), (0, False), (UNITS + 1, False)):
        config = ModelConfig(model="test_resnet", weights=path, small_images="keep", head_units=units)
        classifier, entry = build_classifier(config, CLASSES, SIDE, seed=0)
        assert entry["head_units"] == units
        assert not entry["origin"]["head_replaced"]
        own = classifier.net.state_dict()
        layer = last_layer(classifier.net, CLASSES)
        saved = next(v for name, v in state.items() if name.endswith("head_linear.weight"))
        assert torch.equal(layer.weight, saved)
        outputs = [value for name, value in own.items() if name.endswith("head_output.weight")]
        assert len(outputs) == (units > 0)
        assert [bool(value.any()) for value in outputs] == ([is_taken] if units else [])
