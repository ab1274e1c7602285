"""Optimisation as a user gets it: what the fields of the recipe do to a training, and how it ends."""

import json
import re
import shutil
from contextlib import contextmanager

import pytest
import small_run
import torch
from heard import Heard
from safetensors.torch import load_file

from edgetl.errors import ConfigError
from edgetl.recipe.networks import TeacherConfig
from edgetl.runs.files import sha256_of
from edgetl.train.divergence import LAST_GOOD_FILE
from edgetl.zoo.build import build_classifier

VIT = {"model": "test_vit", "small_images": "keep", "batch_size": 8, "learning_rate": 0.003}
"""A network without batch norm."""

RESNET = {"model": "test_resnet", "batch_size": 8, "learning_rate": 0.01}


class Killed(Heard):
    """Presses Ctrl-C after some epochs."""

    def __init__(self, after):
        super().__init__()
        self._after = after

    @contextmanager
    def track(self, title, total, *, even=False):  # noqa: ARG002  the interface has all
        done = 0

        def advance(steps, _note):
            nonlocal done
            done += steps
            if title.startswith("Fine-tuning") and steps and done == self._after:
                raise KeyboardInterrupt

        yield advance


@pytest.fixture
def learn(colours, tmp_path):
    """Fine-tune on two colours: `run, records, heard = learn("name", epochs=3)`."""

    def run(name, reporter=None, *, data=None, **teacher):
        settings = small_run.recipe(
            checkpoint_seconds=0 if "kill" in name else 20,
            data={"path": str(data or colours), "image_size": 16, "resize": "crop"},
            teacher={"epochs": 2, **teacher},
        )
        heard = reporter or Heard()
        made = small_run.made(settings, tmp_path / name, "teacher", ("data", "finetune"), heard)
        return made, [json.loads(line) for line in made.file("metrics.jsonl").read_text().splitlines()], heard

    return run


def weights(run):
    return load_file(run.file("model.safetensors"))


def test_accumulated_batches_are_one_larger_batch(learn):
    plain = VIT | {"optimizer": "sgd", "learning_rate": 0.05}
    halves, of_halves, _ = learn("halves", **plain, accumulate=2)
    whole, of_whole, _ = learn("whole", **plain | {"batch_size": 16})
    ours, theirs = weights(halves), weights(whole)
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-5)
    assert [each["loss"] for each in of_halves] == pytest.approx([each["loss"] for each in of_whole], rel=1e-4)
    assert [each["learning_rate"] for each in of_halves] == [each["learning_rate"] for each in of_whole]


def test_sgd_learns(learn):
    _, records, _ = learn("run", **RESNET, optimizer="sgd", epochs=5)
    assert records[-1]["loss"] < records[0]["loss"] / 2
    assert records[-1]["val_top1"] > 0.8


def test_schedule_clipping_and_precision_reach_the_training(learn):
    fields = [{}, {"schedule": "cosine"}, {"clip_norm": 0.1}, {"precision": "bf16"}]
    runs = [learn(f"run-{number}", **RESNET, epochs=1, **each)[0] for number, each in enumerate(fields)]
    assert len({run.weights_sha256 for run in runs}) == len(fields)


@pytest.fixture
def swapped(colours, tmp_path):
    """Colours whose training images have each other's labels: who learns from these is wrong about all others."""
    place = tmp_path / "swapped"
    wrong = {"train": {"red": "blue", "blue": "red"}}
    for split, numbers in (("train", range(10)), ("val", range(10, 22)), ("test", range(22, 24))):
        for label in ("red", "blue"):
            folder = place / split / wrong.get(split, {}).get(label, label)
            folder.mkdir(parents=True)
            for number in numbers:
                shutil.copy(colours / label / f"{number:02}.png", folder)
    return place


@pytest.fixture(scope="module")
def knowing(colours, tmp_path_factory):
    """Weights of a network that knows the colours."""
    settings = small_run.recipe(
        data={"path": str(colours), "image_size": 16, "resize": "crop"}, teacher={**RESNET, "epochs": 4}
    )
    run = small_run.made(settings, tmp_path_factory.mktemp("knowing") / "run", "teacher", ("data", "finetune"))
    return str(run.file("model.safetensors"))


@pytest.fixture
def unlearn(learn, swapped, knowing):
    """Go on from what is known, on labels that are wrong: the network gets worse with every epoch."""
    start = {**RESNET, "weights": knowing, "strategy": "full"}
    return lambda name, reporter=None, **fields: learn(name, reporter, data=swapped, **start | fields)


def test_an_earlier_epoch_is_kept_where_the_last_is_worse_beyond_luck(unlearn):
    fields = {"learning_rate": 0.003, "warmup_fraction": 0.5, "schedule": "constant"}
    run, records, heard = unlearn("run", **fields, epochs=6)
    assert records[-1]["val_top1"] < 0.6, "it must have got worse"
    (kept,) = [each for each in records if "kept" in each]
    assert kept["kept"] is True
    assert kept["val_top1"] == 1.0
    record = run.manifest["stages"]["finetune"]
    assert record["learned"]["kept_epoch"] == kept["epoch"] < 6
    assert record["metrics"]["val_top1"] == 1.0, "that of the weights that are kept"
    said = f"weights of epoch {kept['epoch']} are kept, which are better than the last one's by more than luck."
    assert any(said in line for line in heard.lines)
    short, (first, *_), _ = unlearn("short", **fields, epochs=6, patience=1)
    for name, value in weights(short).items():
        torch.testing.assert_close(weights(run)[name], value, rtol=0, atol=0)
    assert first["kept"]


ALL = {
    "optimizer": "sgd",
    "schedule": "plateau",
    "warmup_fraction": 0.1,
    "clip_norm": 1.0,
    "accumulate": 2,
    "average_decay": 0.5,
    "patience": 5,
    "epochs": 14,
    "learning_rate": 0.1,
}


def test_a_killed_training_ends_with_the_same_bytes_with_all_of_it(unlearn):
    straight, records, heard = unlearn("straight", **ALL)
    assert len(records) < 14, "it must have stopped early"
    assert records[-1]["learning_rate"] == pytest.approx(0.01), "it must have found a plateau"
    assert not records[-1].get("kept"), "an earlier epoch must be the best"
    for after in (3, 5):
        with pytest.raises(KeyboardInterrupt):
            unlearn("killed", Killed(after), **ALL)
    resumed, *_ = unlearn("killed", **ALL)
    for name in ("model.safetensors", "metrics.jsonl"):
        assert sha256_of(straight.file(name)) == sha256_of(resumed.file(name))
    assert any(f"stopped after epoch {len(records)} of 14" in line for line in heard.lines)


def test_a_training_that_diverges_leaves_the_last_good_weights_to_start_from(learn, tmp_path):
    rising = {"optimizer": "sgd", "schedule": "constant", "learning_rate": 10.0, "warmup_fraction": 0.9, "epochs": 12}
    with pytest.raises(ConfigError) as caught:
        learn("run", **VIT | rising)
    file = tmp_path / "run" / LAST_GOOD_FILE
    assert re.sub(r"step \d+ is nan(.*) rate of [\d.]+\.", r"step N is nan\1 rate of N.", str(caught.value)) == (
        "teacher.learning_rate: the training diverged: the loss of step N is nan, in epoch 3 of 12, at a rate of N."
        f" Good weights, of epoch 1, are in {file}; start from them with --set teacher.weights={file}."
        " Lower the rate with --set teacher.learning_rate=1, or limit gradients with --set teacher.clip_norm=1."
    )
    assert caught.value.exit_code == 2
    assert not (tmp_path / "run" / "model.safetensors").exists()
    classifier, entry = build_classifier(TeacherConfig(model="test_vit", weights=str(file)), 2, 16, seed=3)
    assert not entry["origin"]["head_replaced"]
    ours = load_file(file)
    assert all(torch.equal(ours[name], value) for name, value in classifier.net.state_dict().items())
    assert all(torch.isfinite(value).all() for value in ours.values())


@pytest.mark.parametrize(("field", "value", "cure"), [("schedule", "plateau", "cosine"), ("patience", 3, "0")])
def test_what_needs_a_validation_is_refused_where_there_is_none(learn, field, value, cure, tmp_path_factory):
    start = small_run.weights_of_digits(tmp_path_factory.getbasetemp())["damaged"]
    with pytest.raises(ConfigError) as caught:
        learn("run", **RESNET, weights=start, strategy="lpft", **{field: value})
    assert str(caught.value) == (
        f"teacher.{field}: {value} needs a validation after each epoch, and this training has none. Train in full with"
        f" --set teacher.strategy=full, or choose --set teacher.{field}={cure}."
    )


def test_a_batch_that_cannot_fit_is_refused_before_the_first_step(learn, monkeypatch):
    monkeypatch.setattr("edgetl.train.fitting_memory.available_bytes", lambda: 12_000_000)
    with pytest.raises(
        ConfigError, match=r"teacher\.batch_size: 32 images need about .* are available\. .* fit: --set"
    ):
        learn("run", **RESNET | {"batch_size": 64})
