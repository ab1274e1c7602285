"""Whether pretrained weights help: heads on their features beside heads on those of random weights."""

import numpy as np
import pytest
import small_run
from heard import Heard
from PIL import Image
from safetensors.torch import load_file, save_file
from shell import paint_folder

from edgetl.data.digits import digits_folder
from edgetl.recipe.networks import ModelConfig
from edgetl.train.pretraining import Pretraining
from edgetl.zoo.build import build_classifier, build_untrained

WARNING = "The pretrained weights do not help here beyond luck: of "
FEATURES = {"model": "test_resnet", "small_images": "keep", "strategy": "features"}


@pytest.fixture
def noisy_digits(tmp_path, tmp_path_factory):
    """Ten digits of twelve images each, in noise through which random filters hardly see."""
    rng = np.random.default_rng(0)
    with small_run.user_cache(tmp_path_factory.getbasetemp()):
        for folder in sorted(digits_folder().iterdir()):
            (tmp_path / "noisy" / folder.name).mkdir(parents=True)
            for file in sorted(folder.iterdir())[:12]:
                pixels = np.asarray(Image.open(file)).astype(float)
                pixels += rng.normal(0, 60, pixels.shape)
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(tmp_path / "noisy" / folder.name / file.name)
    return tmp_path / "noisy"


@pytest.fixture
def learn(tmp_path_factory, tmp_path):
    """Fit a head to a network: `learned, lines = learn(data, weights)`."""

    def run(data, weights, name="run", **teacher):
        settings = small_run.recipe(
            data={"path": str(data), "image_size": 16, "resize": "crop"},
            teacher=FEATURES | {"weights": weights} | teacher,
        )
        heard = Heard()
        with small_run.user_cache(tmp_path_factory.getbasetemp()):
            run = small_run.made(settings, tmp_path / name, "teacher", ("data", "finetune"), heard)
        return run.manifest["stages"]["finetune"]["learned"], [line for line in heard.lines if WARNING in line]

    return run


def test_weights_of_the_same_domain_help_and_the_manifest_says_how_much(learn, noisy_digits, tmp_path_factory):
    learned, lines = learn(noisy_digits, small_run.weights_of_digits(tmp_path_factory.getbasetemp())["whole"])
    probe = learned["probe"]
    assert probe["random_images"] == 100, "all that may be learned from, where there are few"
    assert probe["pretrained_top1"] > probe["random_top1"] > 0.2
    assert lines == []


def test_weights_that_are_no_better_than_random_ones_are_named(learn, tmp_path, tmp_path_factory):
    config = ModelConfig(model="test_resnet", weights="none", small_images="keep")
    net = build_classifier(config, 4, 16, seed=5)[0].net
    file = tmp_path / "other.safetensors"
    header = {"mean": "[0.5,0.5,0.5]", "std": "[0.5,0.5,0.5]"}
    save_file({name: value.contiguous() for name, value in net.state_dict().items()}, file, header)
    learned, lines = learn(small_run.few_digits(tmp_path_factory.getbasetemp()), str(file))
    probe = learned["probe"]
    assert lines == [
        f"{WARNING}80 plain images a head on their features is right about {probe['pretrained_top1']:.1%},"
        f" on those of random weights about {probe['random_top1']:.1%}."
    ]


def test_a_network_of_random_weights_is_not_compared_with_itself(learn, tmp_path):
    data = paint_folder(tmp_path / "few", {"across": 5, "down": 5})
    learned, _ = learn(data, "none")
    assert "random_top1" not in learned["probe"]


@pytest.mark.parametrize(
    ("images", "wins", "losses", "says"), [(200, 12, 8, True), (200, 30, 8, False), (30, 1, 1, False)]
)
def test_a_warning_needs_images_enough_and_no_more_than_luck(images, wins, losses, says):
    pretrained_N, random_N = np.arange(images) < wins, np.arange(images) >= images - losses
    assert bool(Pretraining(pretrained_N, random_N).sentence) == says


def test_the_other_network_has_the_same_layers_and_other_weights(tmp_path_factory):
    file = small_run.weights_of_digits(tmp_path_factory.getbasetemp())["whole"]
    config = ModelConfig(model="test_resnet", weights=file)
    known, other = build_classifier(config, 4, 16, seed=0)[0], build_untrained(config, 4, 16, seed=0)
    assert [(n, v.shape) for n, v in known.state_dict().items()] == [
        (n, v.shape) for n, v in other.state_dict().items()
    ]
    strides = [m.stride for m in known.modules() if hasattr(m, "stride")]
    assert strides == [m.stride for m in other.modules() if hasattr(m, "stride")]
    assert not np.array_equal(load_file(file)["layer1.0.conv1.weight"], other.net.layer1[0].conv1.weight.detach())
