"""What a recipe with pruning means: some epochs before pruning, in a run folder of their own, and the rest after it."""

from pathlib import Path

from edgetl.errors import ConfigError
from edgetl.recipe.fields import Recipe

__all__ = ["PRUNED_FILE", "after", "before", "is_asked"]

PRUNED_FILE = "pruned.safetensors"
"""What the student's training continues from: the pruned network, or the unpruned one if no width was faster."""

_FROM_SCRATCH = {"adamw": 0.006, "sgd": 0.1 / 256}
"""Learning rate of batch norm's networks, and for each image of a step (edgetl.train.optimizer)."""


def is_asked(recipe: Recipe) -> bool:
    """Tell whether a recipe asks for a pruned student."""
    return recipe.prune.latency < 1


def before(recipe: Recipe) -> Recipe:
    """The recipe of the epochs before pruning.

    Raises:
        ConfigError: The student has only one epoch.
    """
    first, _ = _epochs(recipe)
    return _with(recipe, {"epochs": first})


def after(recipe: Recipe, unpruned: Path) -> Recipe:
    """The recipe of the epochs after pruning, which continue from the network that pruning left.

    Args:
        recipe: The recipe of both phases; the student has at least two epochs.
        unpruned: The run folder of the epochs before pruning.
    """
    _, rest = _epochs(recipe)
    return _with(recipe, {"epochs": rest, "weights": str(unpruned / PRUNED_FILE), **_rate(recipe)})


def _rate(recipe: Recipe) -> dict[str, float]:
    """A student that started from random weights keeps the automatic learning rate for such weights after pruning."""
    student = recipe.student
    if student.learning_rate != "auto" or student.weights != "none":
        return {}
    images = student.batch * student.accumulate if student.optimizer == "sgd" else 1
    return {"learning_rate": _FROM_SCRATCH[student.optimizer] * images}


def _epochs(recipe: Recipe) -> tuple[int, int]:
    epochs = recipe.student.epochs
    if epochs < 2:
        raise ConfigError("student.epochs", "pruning comes between epochs, so there must be at least 2")
    first = min(epochs - 1, max(1, round(recipe.prune.at * epochs)))
    return first, epochs - first


def _with(recipe: Recipe, student: dict[str, object]) -> Recipe:
    return recipe.model_copy(update={"student": recipe.student.model_copy(update=student)})
