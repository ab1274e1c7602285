"""Strategies on a network that knows digits, but whose last stage was silenced: a head alone does not mend it."""

import json

import pytest
import small_run
import torch
from heard import Heard
from safetensors.torch import load_file

from edgetl.data.store import ArrayStore
from edgetl.errors import ModelError
from edgetl.runs.files import sha256_of
from edgetl.train.loop import fit

CLASSES, IMAGES = 4, 24

VAL_IMAGES = CLASSES * (IMAGES - 4)
"""All but the test images."""

TEACHER = {"model": "test_resnet", "train_from": "layer4", "small_images": "keep"} | {
    "tuning_epochs": 30,
    "learning_rate": 0.01,
    "batch_size": 8,
}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A few of the digits."""
    return small_run.few_digits(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights files: of a network that knows the digits, and of one whose last stage was silenced."""
    return small_run.weights_of_digits(tmp_path_factory.getbasetemp())


@pytest.fixture
def learn(digits, weights, tmp_path):
    """Fine-tune: `run, heard = learn("damaged", strategy="partial")`."""

    def run(start, name="run", reporter=None, *, sections=None, **teacher):
        settings = small_run.recipe(
            data={"path": str(digits), "image_size": 16, "resize": "crop"},
            teacher=TEACHER | {"weights": weights[start]} | teacher,
            **(sections or {}),
        )
        heard = reporter or Heard()
        return small_run.made(settings, tmp_path / name, "teacher", ("data", "finetune"), heard), heard

    return run


def top1(run):
    return run.manifest["metrics"]["finetune"]["test_top1"]


def test_auto_trains_what_a_head_cannot_mend(learn):
    run, heard = learn("damaged")
    alone, _ = learn("damaged", "alone", strategy="features")
    learned = run.manifest["stages"]["finetune"]["learned"]
    assert learned["strategy"] == "partial"
    assert learned["reason"].startswith("training from 'layer4' on reached ")
    assert " of 9 views of " in learned["reason"], "every stored view judges"
    assert top1(run) > top1(alone)
    assert any(line.startswith("Chosen: partial, since training from 'layer4' on reached") for line in heard.lines)


@pytest.mark.parametrize(("asked", "few", "images"), [("auto", 1000, 16), ("auto", 10, 32), (24, 1000, 24)])
def test_a_step_takes_fewer_of_few_images_unless_the_recipe_says_how_many(learn, monkeypatch, asked, few, images):
    taken = []

    def spied(network, training, context):
        taken.append((training.order.batch_size, training.config.batch))
        return fit(network, training, context)

    monkeypatch.setattr("edgetl.train.tuning.fit", spied)
    monkeypatch.setattr("edgetl.train.tuning._FEW", few)
    learn("whole", strategy="partial", tuning_epochs=1, batch_size=asked)
    assert taken == [(images, images)]


def test_auto_keeps_the_head_where_little_is_left_to_win(learn):
    run, _ = learn("whole")
    alone, _ = learn("whole", "alone", strategy="features")
    learned = run.manifest["stages"]["finetune"]["learned"]
    assert learned["strategy"] == "features"
    assert "mistakes are too few" in learned["reason"]
    assert run.weights_sha256 == alone.weights_sha256
    assert learned["val_images"] == VAL_IMAGES, "cross-validation judges every image of train and val"


def test_auto_drops_a_training_that_is_no_better(learn):
    run, _ = learn("damaged", learning_rate=1e-9)
    learned = run.manifest["stages"]["finetune"]["learned"]
    assert learned["strategy"] == "features"
    assert learned["reason"].endswith("which may be luck")


def test_a_trial_ends_where_training_is_clearly_worse(learn, monkeypatch):
    trained = []

    def spied(network, training, context):
        trained.append(training.checkpoints)
        return fit(network, training, context)

    monkeypatch.setattr("edgetl.train.tuning.fit", spied)
    run, _ = learn("damaged", learning_rate=10.0)
    learned = run.manifest["stages"]["finetune"]["learned"]
    assert learned["strategy"] == "features"
    assert trained == ["finetune/trial-1"], "neither the other half nor all images are trained on"


@pytest.fixture(scope="module")
def frozen_tensors(weights):
    """The tensors of the damaged network that partial must not touch."""
    return {
        name: value for name, value in load_file(weights["damaged"]).items() if not name.startswith(("layer4", "fc"))
    }


def test_partial_leaves_the_stages_before_as_they_were(learn, frozen_tensors):
    run, _ = learn("damaged", strategy="partial", tuning_epochs=1)
    after = load_file(run.file("model.safetensors"))
    for name, value in frozen_tensors.items():
        torch.testing.assert_close(after[name], value, rtol=0, atol=0)
    before = load_file(small_weights := run.manifest["stages"]["finetune"]["recipe"]["teacher"]["weights"])
    assert small_weights.endswith("damaged.safetensors")
    assert not torch.equal(after["layer4.0.conv1.weight"], before["layer4.0.conv1.weight"])
    name = next(name for name in after if name.startswith("layer4") and name.endswith("running_mean"))
    torch.testing.assert_close(after[name], before[name], rtol=0, atol=0)


@pytest.mark.parametrize("strategy", ["lpft", "gradual"])
def test_lpft_and_gradual_end_with_all_stages_trained(learn, frozen_tensors, strategy):
    run, _ = learn("damaged", strategy=strategy, tuning_epochs=3)
    after = load_file(run.file("model.safetensors"))
    assert not torch.equal(after["conv1.0.weight"], frozen_tensors["conv1.0.weight"])
    assert run.manifest["stages"]["finetune"]["learned"]["strategy"] == strategy
    records = [json.loads(line) for line in run.file("metrics.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == [1, 2, 3]


def test_full_trains_with_a_new_head_as_ever(learn):
    run, _ = learn("whole", strategy="full", epochs=1)
    learned = run.manifest["stages"]["finetune"]["learned"]
    assert learned == {"strategy": "full", "reason": "the recipe asks for it", "val_images": 16, "kept_epoch": 1}


def test_a_stopped_auto_goes_on_to_the_same_weights(learn, monkeypatch):
    straight, _ = learn("damaged", "straight", tuning_epochs=2)
    plain, count = ArrayStore.write, 0

    def write(store, *given):
        nonlocal count
        count += 1
        if count == 14:
            raise KeyboardInterrupt
        plain(store, *given)

    monkeypatch.setattr(ArrayStore, "write", write)
    with pytest.raises(KeyboardInterrupt):
        learn("damaged", "stopped", tuning_epochs=2)
    written = count
    resumed, _ = learn("damaged", "stopped", tuning_epochs=2)
    total = 9 * 2 * 2
    assert count - written < total - 10, "pieces that were written are not computed again"
    for name in ("model.safetensors", "metrics.jsonl"):
        assert sha256_of(straight.file(name)) == sha256_of(resumed.file(name))
    assert not resumed.checkpoint_dir("finetune").exists()


def test_another_strategy_finds_the_features_of_the_first(learn, monkeypatch):
    learn("whole", strategy="features")
    monkeypatch.setattr(ArrayStore, "write", lambda *_: pytest.fail("features were computed again"))
    learn("whole", strategy="features", weight_decay=0.1)
    learn("whole", strategy="features", head_units=8)


def test_a_stage_that_is_not_there_is_refused_with_the_names(learn):
    with pytest.raises(ModelError) as caught:
        learn("whole", strategy="partial", train_from="layer9")
    assert "test_resnet: has no stage 'layer9'. Its stages are conv1, layer1, layer2, layer3, layer4" in str(
        caught.value
    )


def test_very_many_images_are_learned_in_full(learn, monkeypatch):
    monkeypatch.setattr("edgetl.train.stage.MOST_IMAGES", 10)
    run, heard = learn("whole", epochs=1)
    assert "Chosen: full, since there are images enough to train every layer." in heard.lines
    assert run.manifest["stages"]["finetune"]["learned"]["strategy"] == "full"
