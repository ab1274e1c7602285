"""What a recipe with pruning means: some epochs before it, in a run folder of their own, and the others after it."""

from edgetl.artifact import RunFolder
from edgetl.config import Recipe
from edgetl.distill.visits import view_count
from edgetl.errors import ConfigError

__all__ = ["PRUNED_FILE", "PRUNE_FILE", "UNPRUNED", "after", "before", "is_asked"]

UNPRUNED = "unpruned"
"""Name of the run folder, inside the student's, of what comes before pruning."""

PRUNED_FILE = "pruned.safetensors"
PRUNE_FILE = "prune.json"

_FROM_SCRATCH = 0.006


def is_asked(recipe: Recipe) -> bool:
    """Tell whether a recipe wants a pruned student."""
    return recipe.prune.latency < 1


def before(recipe: Recipe, images: int | None = None) -> Recipe:
    """The recipe of the epochs before pruning.

    Args:
        recipe: Of both; the student has at least two epochs.
        images: Those that the teacher answers, once they are counted. Before and after pruning it is asked the same,
            so that no answer is needed twice.
    """
    first, _ = _epochs(recipe)
    return _with(recipe, images, {"epochs": first})


def after(recipe: Recipe, images: int, unpruned: RunFolder) -> Recipe:
    """The recipe of the epochs after pruning, which go on from what it left: the pruned weights, or the unpruned.

    Args:
        recipe: Of both.
        images: As for `before`.
        unpruned: The run of the epochs before, pruned.
    """
    _, rest = _epochs(recipe)
    pruned = PRUNED_FILE in unpruned.manifest["files"]
    weights = unpruned.path / (PRUNED_FILE if pruned else "model.safetensors")
    return _with(recipe, images, {"epochs": rest, "weights": str(weights), **_rate(recipe)})


def _rate(recipe: Recipe) -> dict[str, float]:
    """A network that was young before pruning is young after it, and takes the steps of its kind."""
    student = recipe.student
    young = student.learning_rate == "auto" and student.weights == "none"
    return {"learning_rate": _FROM_SCRATCH} if young else {}


def _epochs(recipe: Recipe) -> tuple[int, int]:
    """Before and after pruning.

    Raises:
        ConfigError: There is only one.
    """
    epochs = recipe.student.epochs
    if epochs < 2:
        raise ConfigError("student.epochs", "pruning comes between epochs, so there must be at least 2")
    first = min(epochs - 1, max(1, round(recipe.prune.at * epochs)))
    return first, epochs - first


def _with(recipe: Recipe, images: int | None, student: dict[str, object]) -> Recipe:
    changed = recipe.model_copy(update={"student": recipe.student.model_copy(update=student)})
    if images is None:
        return changed
    fewest = recipe.student.model_copy(update={"epochs": min(_epochs(recipe))})
    views = view_count(recipe.model_copy(update={"student": fewest}), images)
    return changed.model_copy(update={"distill": recipe.distill.model_copy(update={"teacher_views": views})})
