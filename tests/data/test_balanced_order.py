"""Classes that come equally often: how often, in which views, and from any step on."""

from collections import Counter

from edgetl.data.loader import Order

CLASSES = (0,) * 30 + (1,) * 8 + (2,) * 2
"""Forty images."""


def epoch_of(order, epoch):
    steps = range(epoch * order.steps_per_epoch, (epoch + 1) * order.steps_per_epoch)
    return [address for step in steps for address in order.addresses(step)]


def test_an_epoch_has_as_many_images_of_each_class():
    order = Order(40, 8, seed=0, classes=CLASSES)
    assert order.steps_per_epoch == 5
    counts = [Counter(CLASSES[position] for position, _ in epoch_of(order, epoch)) for epoch in range(6)]
    assert all(set(count.values()) == {13, 14} for count in counts)
    assert len({max(count, key=count.get) for count in counts}) > 1, "what is left over goes to other classes"


def test_a_large_class_shows_other_images_and_a_small_one_all_of_them():
    order = Order(40, 8, seed=0, classes=CLASSES)
    for epoch in range(3):
        shown = Counter(position for position, _ in epoch_of(order, epoch))
        assert all(count == 1 for position, count in shown.items() if position < 30)
        assert {shown[38], shown[39]} <= {6, 7}
        assert {shown[position] for position in range(30, 38)} <= {1, 2}
    seen = {position for epoch in range(12) for position, _ in epoch_of(order, epoch)}
    assert seen == set(range(40))


def test_an_image_that_comes_again_in_an_epoch_shows_another_view():
    fresh, stored = Order(40, 8, seed=0, classes=CLASSES), Order(40, 8, seed=0, view_count=8, classes=CLASSES)
    for epoch in range(3):
        addresses = epoch_of(fresh, epoch)
        assert len(set(addresses)) == len(addresses)
        assert len(set(epoch_of(stored, epoch))) == len(addresses)
        assert max(view for _, view in epoch_of(stored, epoch)) < 8
    everything = [address for epoch in range(3) for address in epoch_of(fresh, epoch)]
    assert len(set(everything)) == len(everything)


def test_a_step_depends_on_seed_and_number_alone():
    order, same, other = (Order(40, 8, seed, classes=CLASSES) for seed in (3, 3, 4))
    forward = [order.addresses(step) for step in range(12)]
    assert [same.addresses(step) for step in reversed(range(12))] == forward[::-1]
    assert [other.addresses(step) for step in range(12)] != forward


def test_processes_share_a_balanced_batch_between_them():
    order = Order(40, 8, seed=0, classes=CLASSES)
    for step in range(5):
        whole, parts = order.addresses(step), [order.addresses(step, (rank, 2)) for rank in (0, 1)]
        assert whole[::2] == parts[0]
        assert whole[1::2] == parts[1]


def test_positions_are_those_of_the_chosen_images():
    chosen = tuple(range(100, 140))
    plain, moved = Order(40, 8, 0, classes=CLASSES), Order(40, 8, 0, chosen=chosen, classes=CLASSES)
    assert [(position + 100, view) for position, view in plain.addresses(2)] == moved.addresses(2)
