"""A grid of views: which view a row is, and what is computed of which image."""

from edgetl.data.grid import ViewGrid
from edgetl.data.index import Sample
from edgetl.data.views import EVALUATION, Views
from edgetl.recipe.images import AugmentConfig
from edgetl.runner.contract import Contract

VIEWS = Views(Contract(("a", "b"), 8, 8), AugmentConfig())


def grid(**options):
    samples = [Sample(f"{n}.png", n % 2, "train", f"{n:064x}") for n in range(70)]
    return ViewGrid(None, samples, VIEWS, **options)


def test_rows_are_views_and_the_first_may_be_the_evaluation_view():
    plain, judged = grid(view_count=2), grid(view_count=2, evaluation=True)
    assert [plain.view_of(row) for row in range(plain.rows)] == [0, 1]
    assert [judged.view_of(row) for row in range(judged.rows)] == [EVALUATION, 0, 1]
    assert plain.about()["views"] != judged.about()["views"]


def test_pieces_cover_each_view_of_each_image_once():
    pieces = grid(view_count=2).pieces()
    assert sorted((row, image) for row, start, stop in pieces for image in range(start, stop)) == [
        (row, image) for row in range(2) for image in range(70)
    ]


def test_images_that_are_only_judged_have_the_evaluation_view_alone():
    pieces = grid(view_count=1, evaluation=True, augmented=5).pieces()
    assert pieces == [(0, 0, 64), (0, 64, 70), (1, 0, 5)]
