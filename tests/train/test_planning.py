"""What fits a time: pure sums of known costs, without a clock."""

import math
from dataclasses import replace

import pytest

from edgetl.train.costs import Costs, HeadCosts, Size, Work, bill, piped
from edgetl.train.measuring import typical_seconds
from edgetl.train.plan import Job, divided, plan_for, sizes_of
from edgetl.train.strategies.auto import trial_visits

WORK = Work("auto", learned=500, judged=0, tested=1000, crosses=True, stored_views=100)
COSTS = Costs(view_s=0.01, step_s=0.04, stored_step_s=0.02, stored_view_s=0.005, head=HeadCosts(1.0, 1e-4, 1e-6))
JOB = Job(WORK, COSTS, Size("auto", 8, 8))
TIMES = [10 * 1.3**number for number in range(30)]


def job(strategy, **changes):
    return Job(replace(WORK, strategy=strategy, **changes), COSTS, Size(strategy, 8, 8))


JOBS = {
    "auto": JOB,
    "features": job("features"),
    "partial": job("partial"),
    "gradual": job("gradual", stored_views=0),
    "full": job("full", crosses=False, judged=100),
    "held out": job("auto", crosses=False, judged=100, learned=8000),
    "taught": Job(replace(WORK, ways=2), replace(COSTS, answer_s=0.03), Size("auto", 8, 8)),
}


def test_the_parts_are_the_sums_of_what_is_done():
    parts = bill(WORK, COSTS, Size("auto", 8, 8))
    assert parts["features"] == pytest.approx(9 * 500 * 0.01)
    assert parts["training"] == pytest.approx(8 * 500 * 0.02), "of stored activations"
    halves = 2 * 8 * 250 * 0.02 + 500 * 0.005
    assert parts["trial"] == pytest.approx(halves + 2 * (1.0 + 9 * 250 * (1e-4 + 30e-6)))
    assert parts["test"] == pytest.approx(10)
    assert "teacher's answers" not in parts
    taught = JOBS["taught"]
    assert bill(taught.work, taught.costs, taught.standard)["trial"] == pytest.approx(2 * parts["trial"])
    assert bill(taught.work, taught.costs, taught.standard)["teacher's answers"] == pytest.approx(9 * 500 * 0.03)


def test_few_views_are_not_stored_and_so_decoded_in_each_epoch():
    assert bill(WORK, COSTS, Size("partial", 3, 8))["training"] == pytest.approx(8 * 500 * 0.04)
    full_disk = replace(WORK, stored_views=5)
    assert bill(full_disk, COSTS, Size("partial", 8, 8))["training"] == pytest.approx(8 * 500 * 0.04)


def test_where_the_validation_split_judges_the_only_training_is_the_trial():
    parts = bill(JOBS["held out"].work, COSTS, Size("auto", 2, 3))
    assert parts["trial"] == pytest.approx(3 * 8000 * 0.04 + 100 * 0.01)
    assert parts["training"] == pytest.approx(100 * 0.01)


@pytest.mark.parametrize("name", JOBS)
def test_a_plan_fits_and_more_time_never_plans_less(name):
    job, place = JOBS[name], -1
    sizes = sizes_of(job.work)
    for time_s in TIMES:
        plan = plan_for(job, time_s)
        if plan is None:
            assert time_s < job.least_s
            continue
        assert plan.seconds == pytest.approx(job.seconds(plan.size))
        assert plan.seconds <= time_s
        now = sizes.index(plan.size)
        assert now >= place
        place = now
        assert plan.further is None or (sizes.index(plan.further) > now and plan.further_s > time_s)
    assert place == len(sizes) - 1, "the longest time buys everything"
    assert plan_for(job, TIMES[-1]).further is None


def test_the_least_time_is_just_enough():
    for job in JOBS.values():
        assert plan_for(job, job.least_s) is not None
        assert plan_for(job, 0.999 * job.least_s) is None


def test_auto_plans_a_head_before_it_plans_too_few_epochs():
    kinds = [(size.strategy, size.views, size.epochs) for size in sizes_of(WORK)]
    assert kinds[0] == ("features", 1, 0)
    assert ("auto", 4, 4) in kinds
    assert min(epochs for strategy, _, epochs in kinds if strategy == "auto") == 4
    many = sizes_of(JOBS["held out"].work)
    assert Size("auto", 1, 1) in many, "8,000 images are enough for one epoch"
    assert max(size.views for size in many) == 2, "no more than 20,000 views in all"


def test_networks_that_share_a_time_get_what_they_would_take_in_parts():
    student = Job(WORK, replace(COSTS, view_s=0.005, step_s=0.02, stored_step_s=0.01), Size("auto", 8, 8))
    whole_s = JOB.seconds(JOB.standard) + student.seconds(student.standard)
    assert divided(whole_s, JOB, [student]) == pytest.approx(JOB.seconds(JOB.standard))
    assert divided(100, JOB, []) == 100
    least_s = JOB.least_s + student.least_s
    assert divided(least_s, JOB, [student]) == pytest.approx(JOB.least_s)
    shares = [divided(least_s * factor, JOB, [student]) for factor in (1, 1.1, 1.5, 2, 4, 8)]
    assert shares == sorted(shares)
    for factor, own_s in zip((1, 1.1, 1.5, 2, 4, 8), shares, strict=True):
        rest_s = factor * least_s - own_s
        assert plan_for(JOB, own_s)
        assert rest_s >= student.least_s - 1e-9


@pytest.mark.parametrize(
    ("decoding_s", "workers", "threads", "seconds"),
    [
        (1.0, 0, 2, 3.0),  # one after the other
        (1.0, 2, 2, 2.5),  # both cores are busy all the time
        (1.0, 2, 1, 2.0),  # the network is the bottleneck
        (9.0, 2, 1, 5.5),
        (9.0, 2, 0, 4.5),  # a GPU takes no core
        (0.0, 2, 2, 2.0),
    ],
)
def test_workers_and_network_share_the_cores(decoding_s, workers, threads, seconds):
    assert piped(decoding_s, 2.0, workers=workers, threads=threads, cores=2) == pytest.approx(seconds)


def test_short_work_is_repeated_and_long_work_is_not():
    now = 0.0

    def timed(length_s):
        runs = []

        def work():
            nonlocal now
            now += length_s
            runs.append(now)

        assert math.isclose(typical_seconds(work, clock=lambda: now), length_s)
        return len(runs) - 1  # without the warm-up

    assert (timed(10.0), timed(0.1), timed(0.001)) == (1, 3, 8)


def test_what_other_programs_do_meanwhile_is_not_counted():
    now, lengths = 0.0, iter([5.0, 0.4, 0.1, 0.7])

    def work():
        nonlocal now
        now += next(lengths)

    assert math.isclose(typical_seconds(work, clock=lambda: now), 0.1)


def test_a_trial_has_fewer_epochs_than_the_training_that_it_decides():
    assert trial_visits(500, 16) == 2 * 250 * 8
    assert trial_visits(500, 3) == 2 * 250 * 3
    assert trial_visits(2000, 16) == 2 * 1000 * 4
