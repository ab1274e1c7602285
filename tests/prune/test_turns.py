"""Times of two networks that are taken in turns, as often as it takes, on a device that says how long each takes."""

from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path

import numpy as np
import pytest
import small_run

from edgetl.devices.base import Device
from edgetl.prune.timing import Stopwatch, take_turns
from edgetl.runs.folder import RunFolder
from edgetl.zoo.build import load_classifier


@pytest.mark.parametrize(
    ("ratios", "turns", "median"),
    [
        ([0.60, 0.61, 0.60], 3, 0.60),
        ([0.60, 1.53, 1.60, 0.61, 0.60], 5, 0.61),  # another program ran meanwhile, and was over
        ([0.1, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 9, 4.0),  # nothing agrees: it ends all the same
    ],
)
def test_turns_are_taken_until_most_agree(ratios, turns, median):
    each = chain(((ratio, 1.0) for ratio in ratios), repeat((99.0, 1.0)))
    times_T2 = take_turns(lambda: next(each))
    assert times_T2.shape == (turns, 2)
    assert np.median(times_T2[:, 0] / times_T2[:, 1]) == median


class Told(Device):
    """Takes as many milliseconds for a file as it is told; it counts threads."""

    name = "told"
    start_timeout_s = call_timeout_s = 1.0

    def __init__(self, **milliseconds):
        self._milliseconds, self.threads = milliseconds, set()

    def facts(self):
        return {"cores": 4, "architecture": "x86_64"}

    @contextmanager
    def workspace(self):
        yield self

    def put(self, file):
        return str(file)

    def put_text(self, name, _text):
        return name

    def run(self, arguments, _work):
        assert arguments[0] == "time"
        self.threads.add(arguments[arguments.index("--threads") + 1])
        return {"infer_s": [self._milliseconds[Path(arguments[1]).stem] / 1e3]}


@pytest.mark.parametrize(("asked", "threads"), [("auto", "1"), (3, "3")])
def test_a_pruned_network_is_measured_as_a_part_of_the_unpruned_ones_time(asked, threads, tmp_path, tmp_path_factory):
    folder = RunFolder.open(small_run.trained(tmp_path_factory.getbasetemp()))
    device = Told(pruned=2.0, unpruned=8.0)
    settings = small_run.recipe(bench={"threads": asked}, export={"formats": ["openvino"]})
    network = load_classifier(folder)
    context = replace(small_run.context(folder, tmp_path, settings), device=device)
    found = Stopwatch(context, network, tmp_path).time(network)
    assert (found.p50_ms, found.unpruned_p50_ms, found.latency_ratio) == (2.0, 8.0, 0.25)
    assert device.threads == {threads}
