"""The learning-rate range test: what it suggests from known losses, and that it leaves a run as it was."""

import json
import math

import numpy as np
import pytest
import small_run

from edgetl.chain.finding import run_find_rate
from edgetl.errors import ConfigError, RunFolderError
from edgetl.runs.files import sha256_of
from edgetl.runs.reporter import Reporter
from edgetl.train.range_test import judged, swept

RATES = np.geomspace(1e-6, 1, 100)
HARDNESS = 1 + 0.3 * np.random.default_rng(0).standard_normal(100)
"""By how much one batch is harder than another."""


def test_the_rate_is_where_the_loss_stops_falling_however_much_batches_differ():
    gain = 0.4 * np.exp(-np.square(np.log10(RATES / 1e-3)))
    found = judged(RATES, HARDNESS - gain, HARDNESS)
    assert 1e-3 <= found.suggested <= 4e-3, "the moving average is a little late"
    assert found.reason == "where the smoothed loss is lowest"
    np.testing.assert_allclose(found.relative, HARDNESS.mean() - gain)


def test_an_explosion_at_once_and_a_flat_loss_name_no_rate():
    at_once = judged(RATES[:12], [1.0] * 11 + [80.0], [1.0] * 12)
    assert (at_once.suggested, at_once.reason) == (None, "the loss explodes at once, with a rate of 5e-06")
    no_number = judged(RATES[:3], [1.0, 1.0, math.nan], [1.0] * 3)
    assert no_number.suggested is None
    assert len(no_number.losses) == 2
    flat = judged(RATES, HARDNESS, HARDNESS)
    assert (flat.suggested, flat.reason) == (None, "no rate makes the loss fall by more than chance")
    noise = 0.1 * np.random.default_rng(1).standard_normal(100)
    assert judged(RATES, 1 + noise, [1.0] * 100).suggested is None, "dropout alone"


@pytest.fixture
def recipe(tmp_path_factory):
    base = tmp_path_factory.getbasetemp()
    digits, weights = small_run.few_digits(base), small_run.weights_of_digits(base)

    def make(start="damaged", **teacher):
        network = {"model": "test_resnet", "small_images": "keep", "train_from": "layer4", "weights": weights[start]}
        return small_run.recipe(
            data={"path": str(digits), "image_size": 16, "resize": "crop"},
            teacher=network | {"batch_size": 8} | teacher,
        )

    return make


def test_it_leaves_a_trained_run_as_it_was_and_finds_the_same_twice(recipe, tmp_path):
    asked = recipe(strategy="features")
    run = small_run.made(asked, tmp_path, "teacher", ("data", "finetune"))
    before = {path.name: sha256_of(path) for path in tmp_path.iterdir() if path.is_file()}
    found = run_find_rate(recipe(strategy="partial"), tmp_path, Reporter())
    first = {path.name: sha256_of(path) for path in tmp_path.iterdir() if path.is_file()}
    assert first.keys() - before.keys() == {"find-rate.json", "find-rate.svg"}
    assert before.items() <= first.items()
    assert not run.checkpoint_dir("finetune").exists()
    stated = json.loads((tmp_path / "find-rate.json").read_text())
    assert stated["suggested"] == found["suggested"] > 1e-5
    plot = (tmp_path / "find-rate.svg").read_text()
    assert "</svg>" in plot
    assert "Learning rate" in plot
    assert "$" not in plot, "labels are plain text"
    run_find_rate(recipe(strategy="partial"), tmp_path, Reporter())
    assert all(sha256_of(tmp_path / name) == value for name, value in first.items())


@pytest.mark.parametrize(("strategy", "low", "high"), [("gradual", 0.0, 0.8), ("full", 1.2, 2.0)])
def test_it_starts_where_the_training_would(recipe, tmp_path, strategy, low, high):
    """A fitted head of a network that knows the digits knows them; a new one guesses, with a loss of about ln 4."""
    found = run_find_rate(recipe("whole", strategy=strategy), tmp_path, Reporter())
    assert low < np.mean(found["initial"]) < high
    assert found["losses"][0] == pytest.approx(found["initial"][0], abs=1e-6), "the same batch, before any step"
    assert len(found["rates"]) > 20


def test_of_lora_only_the_updates_are_tested(tmp_path_factory, tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(
        "edgetl.train.finding.swept",
        lambda network, *given: (
            trained.extend(n for n, p in network.named_parameters() if p.requires_grad) or swept(network, *given)
        ),
    )
    asked = small_run.recipe(
        data={"path": str(small_run.colours(tmp_path_factory.getbasetemp())), "image_size": 32},
        teacher={"model": "test_vit", "weights": "none", "strategy": "lora", "small_images": "keep"},
    )
    found = run_find_rate(asked, tmp_path, Reporter())
    assert all("lora_" in name or "head" in name for name in trained)
    assert any("lora_" in name for name in trained)
    assert found["losses"][0] == pytest.approx(found["initial"][0], abs=1e-6)


def test_it_refuses_what_it_cannot_do(recipe, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"^--find-rate: strategy 'features' fits a head without a learning rate"):
        run_find_rate(recipe(strategy="features"), tmp_path / "a", Reporter())
    small_run.made(recipe(strategy="features"), tmp_path / "b", "teacher", ("data", "finetune"))
    other = recipe().model_copy(update={"seed": 5})
    with pytest.raises(RunFolderError, match="its images have changed since it was trained"):
        run_find_rate(other, tmp_path / "b", Reporter())
