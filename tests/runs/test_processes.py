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


@pytest.mark.parametrize("attempt", range(2))  # a group that is not left aborts about every fourth time
def test_processes_that_met_end_well(attempt, tmp_path):
    script = tmp_path / "meet.py"
    script.write_text(MEET)
    done = subprocess.run([sys.executable, *LAUNCHER, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
