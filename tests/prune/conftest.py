"""Networks on the embedded digits, and times that are given where a test must not depend on them."""

import pytest
import small_run

from edgetl.prune.timing import Speedup, Stopwatch


@pytest.fixture(autouse=True)
def user_cache(tmp_path_factory):
    with small_run.user_cache(tmp_path_factory.getbasetemp()):
        yield


@pytest.fixture
def latency(monkeypatch):
    """Files are written, but a network takes the time that its parameters say: `latency(lambda parameters: ratio)`."""

    def given(ratio_of):
        def time(_self, pruned):
            ratio = ratio_of(sum(parameter.numel() for parameter in pruned.parameters()))
            return Speedup(ratio, 1.0, ratio, ratio, ratio)

        monkeypatch.setattr(Stopwatch, "time", time)

    return given
