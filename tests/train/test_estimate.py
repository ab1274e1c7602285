"""The expected time: said before a training starts, and without a trace in it."""

import pytest
import torch

from edgetl.data.loader import Order
from edgetl.recipe.networks import TeacherConfig
from edgetl.runs.words import duration
from edgetl.train.estimate import fastest_seconds, training_seconds
from edgetl.zoo.build import build_classifier


def test_durations_are_in_the_unit_that_suits_them():
    assert [duration(s) for s in (0.2, 80, 100, 5000, 6000)] == ["0 s", "80 s", "1.7 min", "83.3 min", "1.7 h"]


def test_the_first_run_does_not_count():
    runs = []
    fastest_seconds(lambda: runs.append(len(runs)))
    assert runs == [0, 1, 2]


def test_the_classifier_stays_as_it_was():
    config = TeacherConfig(model="test_resnet", weights="none")
    classifier, _ = build_classifier(config, 2, 32, seed=0)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    seconds = training_seconds(classifier, config, Order(100, 10, 0), side=32)
    assert seconds > 0
    assert all(torch.equal(before[name], value) for name, value in classifier.state_dict().items())
    assert all(parameter.grad is None for parameter in classifier.parameters())


def test_it_grows_with_decoding_and_size_and_shrinks_with_processes(monkeypatch):
    """With a known time per step, the sums are known."""
    monkeypatch.setattr("edgetl.train.estimate._step_seconds", lambda _classifier, side: side / 1000)
    order, config = Order(100, 10, 0), TeacherConfig(epochs=10)
    assert training_seconds(None, config, order, side=32) == pytest.approx(32)
    assert training_seconds(None, config, order, side=32, decoding_s=0.5) == pytest.approx(532)
    assert training_seconds(None, config, order, side=32, processes=2, decoding_s=0.5) == pytest.approx(516)
    growing = TeacherConfig(epochs=10, resize_from=0.5)
    assert 0.5 * 128 < training_seconds(None, growing, order, side=128) < 0.9 * 128
