"""How a recipe is shared out between the epochs before pruning and those after it."""

from pathlib import Path

import pytest
import small_run

from edgetl.errors import ConfigError
from edgetl.prune.phases import after, before, is_asked

UNPRUNED = Path("run/unpruned")


def recipe(epochs=10, prune=None, **sections):
    student = {"epochs": epochs} | sections.pop("student", {})
    return small_run.recipe(prune={"latency": 0.6} | (prune or {}), student=student, **sections)


def test_pruning_is_asked_for_by_a_latency():
    assert is_asked(recipe())
    assert not is_asked(small_run.recipe())


@pytest.mark.parametrize(
    ("epochs", "at", "shares"),
    [(10, 0.5, (5, 5)), (7, 0.5, (4, 3)), (10, 0.01, (1, 9)), (10, 0.99, (9, 1)), (2, 0.5, (1, 1))],
)
def test_epochs_are_shared_out_and_none_is_lost(epochs, at, shares):
    asked = recipe(epochs, {"at": at})
    assert (before(asked).student.epochs, after(asked, UNPRUNED).student.epochs) == shares


def test_one_epoch_cannot_be_shared():
    with pytest.raises(ConfigError, match=r"^student\.epochs: pruning comes between epochs"):
        before(recipe(epochs=1))


def test_training_goes_on_from_what_pruning_left():
    assert after(recipe(), UNPRUNED).student.weights == "run/unpruned/pruned.safetensors"


@pytest.mark.parametrize(
    ("given", "weights", "late"),
    [("auto", "none", 0.006), ("auto", "default", "auto"), (0.01, "none", 0.01), (0.01, "default", 0.01)],
)
def test_the_learning_rate_is_that_of_the_whole_training(given, weights, late):
    asked = recipe(student={"learning_rate": given, "weights": weights})
    assert before(asked).student.learning_rate == given
    assert after(asked, UNPRUNED).student.learning_rate == late
