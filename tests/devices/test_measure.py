"""Which images and how many threads a measurement uses."""

from dataclasses import replace

import pytest
import tiny_run

from edgetl.devices.facts import machine
from edgetl.devices.measuring import threads_of, timed_images


def test_up_to_32_images_are_spread_over_the_test_split(tmp_path):
    context = tiny_run.context(tmp_path, [])
    names = [file.name for file in timed_images(context)]
    assert len(set(names)) == 32
    assert names[0].endswith("000.png")
    assert names[-1].endswith("059.png")


@pytest.mark.parametrize(("asked", "expected"), [("auto", 2), (1, 1), (256, machine()["cores"])])
def test_threads_are_those_asked_for_but_no_more_than_cores(asked, expected, tmp_path):
    context = tiny_run.context(tmp_path, [])
    bench = context.recipe.bench.model_copy(update={"threads": asked})
    context = replace(context, recipe=context.recipe.model_copy(update={"bench": bench}))
    assert threads_of(context) == min(expected, machine()["cores"])
