import itertools

from edgetl.report.labels import place_labels

BOUNDS = (0.0, 0.0, 600.0, 400.0)


def overlap(a, b):
    return min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])


def test_labels_of_crowded_points_overlap_neither_each_other_nor_a_point():
    points = [(300.0 + 14 * n, 200.0) for n in range(8)]
    boxes = [place.box for place in place_labels(points, [(60.0, 10.0)] * 8, BOUNDS) if place]
    assert len(boxes) == 8
    assert not any(overlap(a, b) for a, b in itertools.combinations(boxes, 2))
    assert not any(overlap(box, (x - 4, y - 4, x + 4, y + 4)) for box in boxes for x, y in points)


def test_a_label_at_the_edge_stays_inside():
    (place,) = place_labels([(598.0, 398.0)], [(60.0, 10.0)], BOUNDS)
    assert place.box[2] <= 600
    assert place.box[3] <= 400


def test_a_line_is_avoided_where_that_is_possible():
    line = (0.0, 199.0, 600.0, 201.0)
    (place,) = place_labels([(300.0, 200.0)], [(60.0, 10.0)], BOUNDS, [line])
    assert not overlap(place.box, line)


def test_a_label_without_room_is_left_out():
    assert place_labels([(50.0, 50.0)], [(700.0, 10.0)], BOUNDS) == [None]
