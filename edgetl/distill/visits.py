"""How many views of an image there are, and so how often each comes."""

import math

from edgetl.recipe.fields import Recipe

__all__ = ["view_count"]

_MOST_VISITS = 8
_ENOUGH_VIEWS = 24_000


def view_count(recipe: Recipe, images: int) -> int:
    """How many views of each image the teacher answers; never more than there are epochs.

    'auto' lets a view come eight times at most, and has enough views in all that a small network does not learn them
    by heart (benchmarks/views.py).
    """
    epochs, asked = recipe.student.epochs, recipe.distill.teacher_views
    wanted = max(math.ceil(epochs / _MOST_VISITS), math.ceil(_ENOUGH_VIEWS / images)) if asked == "auto" else asked
    return min(wanted, epochs)
