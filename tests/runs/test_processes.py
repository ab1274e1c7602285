"""Processes that work together part without a noise."""

import subprocess
import sys

import pytest

MEET = """
from edgetl.runs.processes import launched

processes = launched()
assert processes.gather(processes.rank) == [0, 1]
"""
LAUNCHER = ("-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone")


# A group that is not left aborts about every fourth time: two attempts every day, ten among the drills.
ATTEMPTS = [*range(2), *(pytest.param(number, marks=pytest.mark.drill) for number in range(2, 12))]


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_processes_that_met_end_well(attempt, tmp_path):
    script = tmp_path / "meet.py"
    script.write_text(MEET)
    done = subprocess.run([sys.executable, *LAUNCHER, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
