import pytest

from edgetl.report.pareto import pareto_front


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([], []),
        ([(1.0, 0.9)], [0]),
        ([(2.0, 0.9), (1.0, 0.8)], [1, 0]),
        ([(1.0, 0.9), (2.0, 0.8)], [0]),
        ([(1.0, 0.8), (3.0, 0.95), (2.0, 0.9), (2.5, 0.85)], [0, 2, 1]),
    ],
)
def test_the_front_is_what_no_other_point_beats(points, front):
    assert pareto_front(points) == front


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([(1.0, 0.9), (1.0, 0.9)], [0, 1]),
        ([(1.0, 0.8), (1.0, 0.9)], [1]),
        ([(2.0, 0.9), (1.0, 0.9)], [1]),
        ([(1.0, 0.9), (2.0, 0.8), (1.0, 0.9)], [0, 2]),
    ],
)
def test_equal_points_share_the_front_and_half_equal_ones_do_not(points, front):
    assert pareto_front(points) == front
