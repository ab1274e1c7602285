"""Place labels beside crowded points, so that no two overlap."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Box", "Placed", "place_labels"]

_DISTANCES = (7.0, 12.0, 18.0, 26.0, 36.0, 48.0)
_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))
_MARKER = 5.0
"""Half the side of the square around each point that stays free of labels, in points (1/72 inch)."""

Box = tuple[float, float, float, float]
"""Left, bottom, right, top."""


@dataclass(frozen=True)
class Placed:
    """A label's place."""

    box: Box
    direction: tuple[int, int]
    """Direction from the point to the label: -1, 0 or 1 in x and in y."""

    distance: float
    """How far the label is from its point."""


def place_labels(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    bounds: Box,
    obstacles: Sequence[Box] = (),
) -> list[Placed | None]:
    """Choose the nearest free place for each point's label, in the order given.

    A place is free if it is inside the bounds and overlaps no point and no label that was placed before. Of the free
    places, the one that covers least of the obstacles is chosen. A label without a free place is left out.

    Args:
        points: `(x, y)` of each point.
        sizes: `(width, height)` of each label, in the same unit.
        bounds: What all labels must stay within.
        obstacles: Lines and anything else that a label should avoid covering.

    Returns:
        One place per label, None for those left out.
    """
    taken = [_around(point, _MARKER) for point in points]
    placed: list[Placed | None] = []
    for point, size in zip(points, sizes, strict=True):
        candidates = [_candidate(point, size, way, far) for far in _DISTANCES for way in _DIRECTIONS]
        free = [candidate for candidate in candidates if _is_free(candidate.box, taken, bounds)]
        best = min(free, key=lambda candidate: sum(_overlap(candidate.box, line) for line in obstacles), default=None)
        placed.append(best)
        if best:
            taken.append(best.box)
    return placed


def _candidate(
    point: tuple[float, float], size: tuple[float, float], direction: tuple[int, int], distance: float
) -> Placed:
    (x, y), (width, height) = point, size
    centre_x = x + direction[0] * (distance + width / 2)
    centre_y = y + direction[1] * (distance + height / 2)
    box = (centre_x - width / 2, centre_y - height / 2, centre_x + width / 2, centre_y + height / 2)
    return Placed(box, direction, distance)


def _is_free(box: Box, taken: Sequence[Box], bounds: Box) -> bool:
    inside = box[0] >= bounds[0] and box[1] >= bounds[1] and box[2] <= bounds[2] and box[3] <= bounds[3]
    return inside and not any(_overlap(box, other) > 0 for other in taken)


def _overlap(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0)


def _around(point: tuple[float, float], half: float) -> Box:
    return (point[0] - half, point[1] - half, point[0] + half, point[1] + half)
