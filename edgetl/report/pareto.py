"""The Pareto front of points with a cost and a gain: those that no other point beats."""

from collections.abc import Sequence

__all__ = ["pareto_front"]


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Find the points that no other point beats.

    A point is beaten by one that costs no more and gains no less, and is strictly better in one of the two. Equal
    points do not beat each other, so both of a tie are on the front.

    Args:
        points: `(cost, gain)` each, such as milliseconds and top-1.

    Returns:
        Indices into `points`, cheapest first; equal points in their given order.
    """
    order = sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1]))
    front: list[int] = []
    for i in order:
        if not front or points[i][1] > points[front[-1]][1] or points[i] == points[front[-1]]:
            front.append(i)
    return front
