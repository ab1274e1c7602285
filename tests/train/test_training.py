"""Training as a user gets it: what it leaves, what it learns, and how it goes on after a stop."""

import json
from contextlib import contextmanager

import pytest
import small_run
import torch
from heard import Heard
from safetensors import safe_open

from edgetl.data.index import read_index
from edgetl.errors import ConfigError
from edgetl.recipe.networks import TeacherConfig
from edgetl.runs.files import sha256_of
from edgetl.train.evaluation import evaluate
from edgetl.zoo.build import build_classifier, load_classifier

EPOCHS = 4


class Watched(Heard):
    """Keeps its progress, too, and presses Ctrl-C after a number of epochs of training."""

    def __init__(self, stop_after=None):
        super().__init__()
        self.notes = []
        self._stop_after = stop_after

    @contextmanager
    def track(self, title, total, *, even=False):  # noqa: ARG002  the interface has all
        done = 0

        def advance(steps, note):
            nonlocal done
            done += steps
            self.notes.append((title, done, total, note))
            if title.startswith("Fine-tuning") and steps and done == self._stop_after:
                raise KeyboardInterrupt

        yield advance


@pytest.fixture(autouse=True)
def dropout(monkeypatch):
    """Let the network drop half of what its head reads; none of timm's test models does by itself."""

    def with_dropout(*arguments, **options):
        classifier, entry = build_classifier(*arguments, **options)
        classifier.net.drop_rate = 0.5
        return classifier, entry

    monkeypatch.setattr("edgetl.train.stage.build_classifier", with_dropout)


@pytest.fixture
def settings(colours):
    """A network with batch norm and dropout, on few images; a checkpoint after every step."""
    return small_run.recipe(
        checkpoint_seconds=0,
        data={"path": str(colours), "image_size": 16, "resize": "crop"},
        teacher={"model": "test_resnet", "epochs": EPOCHS, "batch_size": 8},
    )


def changed(settings, *, seed=0, **teacher):
    """The settings with another seed, or with other fields of the teacher."""
    return settings.model_copy(update={"seed": seed, "teacher": settings.teacher.model_copy(update=teacher)})


def train(out, settings, reporter=None):
    return small_run.made(settings, out, "teacher", ("data", "finetune"), reporter)


def stop(out, settings, epoch):
    with pytest.raises(KeyboardInterrupt):
        train(out, settings, Watched(stop_after=epoch))


def test_a_training_that_diverges_stops_and_names_the_rate(settings, tmp_path):
    with pytest.raises(ConfigError) as caught:
        train(tmp_path / "run", changed(settings, learning_rate=1e30))
    assert str(caught.value) == (
        "teacher.learning_rate: the training diverged: the loss of step 2 is nan, in epoch 1 of 4, at a rate of"
        " 1.99e+29. No epoch had ended before, so there are no good weights to keep. Lower the rate with --set"
        " teacher.learning_rate=1e+29, or limit gradients with --set teacher.clip_norm=1."
    )
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_a_stopped_training_goes_on_to_the_same_weights(settings, tmp_path):
    straight = train(tmp_path / "straight", settings)
    stop(tmp_path / "stopped", settings, epoch=3)
    assert not (tmp_path / "stopped" / "model.safetensors").exists()
    stop(tmp_path / "stopped", settings, epoch=3)
    heard = Watched()
    resumed = train(tmp_path / "stopped", settings, heard)
    # Ctrl-C came before the checkpoint of the third epoch's last step was written.
    assert "Fine-tuning test_resnet: going on after step 11 of 16" in heard.lines
    assert [done for title, done, *_ in heard.notes if title.startswith("Fine-tuning")] == [2, 3, 4]
    for name in ("model.safetensors", "metrics.jsonl"):
        assert sha256_of(straight.file(name)) == sha256_of(resumed.file(name))
    assert not resumed.checkpoint_dir("finetune").exists()


def test_a_changed_recipe_starts_again(settings, tmp_path):
    stop(tmp_path / "run", settings, epoch=1)
    assert (tmp_path / "run" / ".checkpoint-finetune" / "step-000000003.json").is_file()
    heard = Watched(stop_after=1)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", changed(settings, weight_decay=0.1), heard)
    assert not any("going on" in line for line in heard.lines)


def test_recipe_and_seed_decide_the_weights(settings, tmp_path):
    ways = {"first": {}, "second": {}, "other seed": {"seed": 1}, "smoothed": {"label_smoothing": 0.5}}
    runs = {name: train(tmp_path / name, changed(settings, epochs=1, **way)) for name, way in ways.items()}
    weights = {name: run.weights_sha256 for name, run in runs.items()}
    assert weights["first"] == weights["second"]
    assert len(set(weights.values())) == 3
    plain, smoothed = (records_of(runs[name])[0]["loss"] for name in ("first", "smoothed"))
    assert plain != pytest.approx(smoothed, rel=1e-3)


def records_of(run):
    return [json.loads(line) for line in run.file("metrics.jsonl").read_text().splitlines()]


def test_it_learns(trained):
    metrics = trained.manifest["metrics"]["finetune"]
    assert metrics["test_top1"] > 0.8, "chance is 0.1"
    records = records_of(trained)
    assert records[-1]["loss"] < records[0]["loss"] / 2
    assert metrics["val_top1"] == records[-1]["val_top1"]


def test_an_epoch_leaves_a_record_of_these_keys(trained):
    records = records_of(trained)
    keys = {"epoch", "loss", "learning_rate", "val_top1", "val_loss"}
    assert [set(record) for record in records] == [keys, keys, keys | {"kept"}]
    assert [record["epoch"] for record in records] == [1, 2, 3]
    assert records[-1]["learning_rate"] == pytest.approx(0.01 / 250_000)


def test_the_written_weights_are_those_that_were_scored(trained, tmp_path):
    context = small_run.context(trained, tmp_path)
    score = evaluate(load_classifier(trained), read_index(trained), "test", context, torch.device("cpu"))
    assert score.top1 == trained.manifest["metrics"]["finetune"]["test_top1"]
    assert score.loss == pytest.approx(trained.manifest["metrics"]["finetune"]["test_loss"], rel=1e-5)


def test_the_weights_say_what_they_are(trained):
    with safe_open(trained.file("model.safetensors"), "pt") as file:
        header = file.metadata()
    assert len(header) == 1, "the library writes several entries in a random order"
    stated, model = json.loads(header["model"]), trained.manifest["model"]
    assert stated == {name: model[name] for name in ("library", "name", "arguments", "mean", "std")}


def test_a_trained_run_is_a_start_for_another_number_of_classes(trained, settings, tmp_path):
    weights = str(trained.file("model.safetensors"))
    teacher = TeacherConfig(model="test_resnet", weights=weights, epochs=1)
    run = train(tmp_path / "run", settings.model_copy(update={"teacher": teacher}))
    origin = run.manifest["model"]["origin"]
    assert (origin["weights_sha256"], origin["head_replaced"]) == (trained.weights_sha256, True)
