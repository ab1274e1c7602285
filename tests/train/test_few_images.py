"""Almost no images, classes of one, splits that lack a class, and images that are all the same: nothing crashes."""

import numpy as np
import pytest
import small_run
import torch
from heard import Heard
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import save_file

from edgetl.errors import ModelError
from edgetl.recipe.networks import ModelConfig
from edgetl.train.checking import check_strategy
from edgetl.train.fitted_head import logits_of
from edgetl.train.probe import Examples, Probe, refit
from edgetl.zoo.build import build_classifier

NETWORK = {
    "model": "test_resnet",
    "small_images": "keep",
    "train_from": "layer4",
    "batch_size": 8,
    "learning_rate": 0.001,
}
STRATEGIES = ("features", "auto", "partial", "gradual", "lpft", "full")
ONE_EACH = {f"{split}/{label}": 1 for split in ("train", "val", "test") for label in "ab"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights of test_resnet for other classes."""
    config = ModelConfig(model="test_resnet", weights="none", small_images="keep")
    net = build_classifier(config, 7, 16, seed=3)[0].net
    file = tmp_path_factory.mktemp("few") / "other.safetensors"
    header = {"mean": "[0.5,0.5,0.5]", "std": "[0.5,0.5,0.5]"}
    save_file({name: value.contiguous() for name, value in net.state_dict().items()}, file, header)
    return str(file)


@pytest.fixture
def paint(tmp_path):
    """Paint so many images into each folder: noise, or all in one grey."""

    def painted(counts, *, grey=False):
        rng = np.random.default_rng(0)
        for folder, count in counts.items():
            (tmp_path / "images" / folder).mkdir(parents=True)
            for number in range(count):
                noise = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
                info = PngInfo()
                info.add_text("name", f"{folder}/{number}")  # equal pixels, but no copies
                image = Image.fromarray(np.full_like(noise, 100) if grey else noise)
                image.save(tmp_path / "images" / folder / f"{number}.png", pnginfo=info)
        return {"path": str(tmp_path / "images"), "image_size": 16, "resize": "crop"}

    return painted


@pytest.fixture
def learn(weights, tmp_path):
    """Fine-tune, or learn from a teacher: `run, lines = learn(data, "auto")`."""

    def run(data, strategy, teacher=None):
        network = NETWORK | {"weights": weights, "strategy": strategy, "epochs": 1, "tuning_epochs": 1}
        heard, role = Heard(), "student" if teacher else "teacher"
        settings, place = small_run.recipe(data=data, **{role: network}), tmp_path / f"{role}-{strategy}"
        stages = ("data", "distill" if teacher else "finetune")
        teachers = (teacher,) if teacher else ()
        return small_run.made(settings, place, role, stages, heard, teachers=teachers), heard.lines

    return run


def learned(run):
    return run.manifest["stages"]["finetune"]["learned"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_can_live_with_one_image_of_each_class_and_says_so(paint, learn, strategy):
    run, lines = learn(paint(ONE_EACH), strategy)
    assert learned(run)["val_images"] == 2
    warned = [line for line in lines if line.startswith("Classes 'a' and 1 more have one image to learn from. The")]
    assert len(warned) == (strategy != "full")


def test_a_class_that_lies_in_one_fold_alone_is_learned_in_the_end(paint, learn):
    run, _ = learn(paint({"a": 12, "b": 12, "c": 3}), "auto")
    assert learned(run)["val_images"] == 22, "all but the test images are judged, each by what learned from others"


def test_of_fewer_images_than_folds_each_is_a_fold(paint, weights, tmp_path):
    data = paint({"train/a": 1, "train/b": 1, "val/a": 1, "test/a": 1, "test/b": 1})
    settings = small_run.recipe(data=data, teacher=NETWORK | {"weights": weights})
    run = small_run.made(settings, tmp_path / "candidate", "teacher", ("data", "probe"))
    assert run.stage("probe")["learned"]["val_images"] == 3


@pytest.mark.parametrize("strategy", ["features", "auto"])
def test_a_student_learns_from_a_teacher_of_a_validation_split_without_a_class(paint, learn, strategy):
    data = paint({"train/a": 6, "train/b": 6, "val/a": 3, "test/a": 2, "test/b": 2})
    teacher, lines = learn(data, "features")
    assert any("No validation image is of class 'b', so no choice considers it." in line for line in lines)
    student, _ = learn(data, strategy, teacher)
    assert np.isfinite(student.manifest["metrics"]["distill"]["test_loss"])


def test_images_that_are_all_the_same_teach_nothing(paint, learn):
    run, _ = learn(paint({"a": 8, "b": 8}, grey=True), "auto")
    assert learned(run)["strategy"] == "features"
    assert run.manifest["metrics"]["finetune"]["test_loss"] == pytest.approx(np.log(2), abs=0.05)


@pytest.mark.parametrize("kind", ["cosine", "class means"])
def test_heads_of_means_give_logits_that_16_bits_can_hold(kind):
    rng = np.random.default_rng(0)
    features_ND = (500 + rng.normal(0, 1e-2, (20, 8))).astype(np.float32)  # nearly parallel, as of a random network
    labels_N = np.arange(20) % 2
    targets_NK = np.eye(2, dtype=np.float32)[labels_N]
    probe = Probe(kind, 1, 64.0, np.zeros(0, np.bool_), 0.0)
    head = refit(Examples(features_ND[None], targets_NK[None], labels_N, np.ones(20, np.float32)), probe, np.arange(20))
    assert np.abs(logits_of(head, features_ND)).max() < torch.finfo(torch.float16).max / 10


@pytest.mark.parametrize("name", ["0", "6", "fc", "layer9"])
def test_a_stage_that_is_none_or_would_leave_the_head_alone_is_refused_before_any_training(name):
    with pytest.raises(ModelError) as caught:
        check_strategy(ModelConfig(model="test_resnet", train_from=name), "student", 32)
    assert str(caught.value) == (
        f"test_resnet: has no stage '{name}'. Its stages are conv1, layer1, layer2, layer3, layer4; or give how many of"
        " the last, 1 to 5. The head is trained anyway; for the head alone choose the strategy 'features'"
    )


def test_a_stage_is_not_looked_for_where_no_strategy_reads_it():
    check_strategy(ModelConfig(model="test_resnet", train_from="layer9", strategy="gradual"), "student", 32)
