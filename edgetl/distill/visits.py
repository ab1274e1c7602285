"""How many views of each image the teacher answers."""

import math

from edgetl.recipe.fields import Recipe

__all__ = ["view_count"]

_MOST_VISITS = 8
"""Epochs that may show a view. Nine views in 30 epochs cost no top-1 beside a new one in each (benchmarks/views.py)."""

_ENOUGH_VIEWS = 24_000
"""Views of all images together. With fewer, four views of each image cost 2.5 points of top-1 (same benchmark)."""


def view_count(recipe: Recipe, images: int, epochs: int | None = None) -> int:
    """Views of each image that the teacher answers; never more than epochs.

    With 'auto', no view comes more than eight times, and there are at least 24,000 views in all, if the epochs allow.

    Args:
        recipe: It may say how many.
        images: That the teacher answers.
        epochs: Of the student; the recipe's by default.
    """
    epochs, asked = epochs or recipe.student.epochs, recipe.distill.teacher_views
    wanted = max(math.ceil(epochs / _MOST_VISITS), math.ceil(_ENOUGH_VIEWS / images)) if asked == "auto" else asked
    return min(wanted, epochs)
