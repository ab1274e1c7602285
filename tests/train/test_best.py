"""Which epoch's weights are kept."""

import numpy as np
import pytest
import torch
from torch import nn

from edgetl.train.best import BestEpoch, is_stalled, kept_record
from edgetl.train.evaluation import Score
from edgetl.train.luck import errors_of_best, is_better

IMAGES = 200


def score(right, loss=1.0, images=IMAGES):
    """The first `right` images are right."""
    return Score(np.arange(images) < right, loss)


def trained(*scores):
    """A network whose weight is the number of the last epoch, with the best of all epochs."""
    layer = nn.Linear(1, 1, bias=False)
    best = BestEpoch(layer)
    for epoch, each in enumerate(scores, start=1):
        layer.weight.data.fill_(epoch)
        best.offer(epoch, each)
    return layer, best


def test_the_errors_that_are_asked_grow_with_the_number_of_candidates():
    assert errors_of_best(1) == pytest.approx(1.645, abs=1e-3)
    assert errors_of_best(20) == pytest.approx(2.807, abs=1e-3)


def test_the_best_of_many_equals_wins_by_luck_in_one_of_twenty_cases_at_most():
    rng, images, count, wins = np.random.default_rng(0), 400, 20, 0
    for _ in range(400):
        last_N, *others = rng.random((count + 1, images)) < 0.9
        best_N = max(others, key=lambda each_N: each_N.sum())
        wins += is_better(best_N, last_N, standard_errors=errors_of_best(count))
    assert 0 < wins <= 0.05 * 400
    # Without the correction, luck would win nearly always.


def test_an_earlier_epoch_is_kept_if_it_is_better_beyond_luck():
    layer, best = trained(score(100), score(180), score(150))
    assert best.wins(3, stopped=False)
    best.put_back()
    assert float(layer.weight.detach()) == 2


def test_the_last_epoch_is_kept_if_an_earlier_one_is_hardly_better():
    _, best = trained(score(100), score(180), score(177))
    assert best.epoch == 2
    assert not best.wins(3, stopped=False)


def test_what_beats_the_last_of_two_epochs_may_be_luck_in_a_hundred():
    """Four images more are two standard errors: enough for one candidate, too little for the best of many."""
    assert trained(score(104), score(100))[1].wins(2, stopped=False)
    assert not trained(*[score(100)] * 50, score(104), score(100))[1].wins(52, stopped=False)


def test_a_training_that_was_stopped_keeps_the_best_outright():
    _, best = trained(score(100), score(181), score(180))
    assert best.wins(3, stopped=True)


@pytest.mark.parametrize(("losses", "epoch"), [((0.5, 0.4), 2), ((0.5, 0.5), 2), ((0.4, 0.5), 1)])
def test_of_equals_the_one_of_least_loss_is_the_best(losses, epoch):
    _, best = trained(*[score(180, loss) for loss in losses])
    assert best.epoch == epoch
    assert best.wins(2, stopped=True) == (epoch == 1)
    assert not best.wins(2, stopped=False)


def test_where_nothing_judges_the_last_is_kept():
    layer, best = trained(None, None)
    assert not best.wins(2, stopped=False)
    layer.weight.data.fill_(7.0)
    best.put_back()
    assert float(layer.weight.detach()) == 2


def test_an_epoch_whose_loss_is_no_number_is_not_kept():
    _, best = trained(score(20), score(100, loss=float("nan")))
    assert best.epoch == 1
    assert best.wins(2, stopped=False)


@pytest.mark.parametrize("scores", [[], [None], [score(100), score(180), score(150)]])
def test_what_is_restored_decides_as_what_was_kept(scores):
    _, best = trained(*scores)
    layer = nn.Linear(1, 1, bias=False)
    again = BestEpoch(layer)
    again.restore({name: value.clone() for name, value in best.tensors().items()})
    epoch = len(scores) + 1
    for each in (best, again):
        each.offer(epoch, score(150) if scores and scores[0] else None)
    assert again.epoch == best.epoch
    assert again.wins(epoch, stopped=False) == best.wins(epoch, stopped=False)
    ours, theirs = best.tensors(), again.tensors()
    assert ours.keys() == theirs.keys()
    if best.epoch < epoch:
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def records(*pairs):
    return [{"val_top1": top1, "val_loss": loss} for top1, loss in pairs]


@pytest.mark.parametrize(
    ("given", "stalled"),
    [
        (records((0.5, 1.0), (0.5, 1.0)), False),  # two epochs are too few
        (records((0.5, 1.0), (0.5, 1.0), (0.4, 1.1)), True),
        (records((0.5, 1.0), (0.5, 0.9), (0.4, 1.1)), False),  # the loss was lower
        (records((0.5, 1.0), (0.4, 1.1), (0.6, 1.1)), False),  # more were right
        (records((0.9, 0.1), (0.5, 1.0), (0.6, 0.9)), True),  # better than before, but not than ever
    ],
)
def test_a_training_stalls_if_no_epoch_of_late_was_better_than_all_before(given, stalled):
    assert is_stalled(given, 2) == stalled
    assert not is_stalled(given, 0)


def test_the_record_that_is_kept_is_marked():
    assert kept_record([{"epoch": 1, "kept": True}, {"epoch": 2}])["epoch"] == 1
    assert kept_record([{"epoch": 1}]) is None
