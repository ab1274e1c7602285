"""The lock of a run folder goes with its process."""

import subprocess
import sys

import pytest

from edgetl.errors import RunFolderError
from edgetl.runs.lock import hold

_WRITER = """
import os, sys, time
from pathlib import Path
from edgetl.errors import RunFolderError
from edgetl.runs.lock import hold

heard, said = os.pipe()
with hold(Path(sys.argv[1])):
    if os.fork() == 0:
        os.write(said, b"started")
        time.sleep(5)
        os._exit(0)
    os.read(heard, 7)
    print("writing", flush=True)
    time.sleep(60)
"""


def test_workers_of_a_killed_run_do_not_keep_the_next_one_out(tmp_path):
    """Data workers are forked, and notice only after seconds that their run is gone."""
    run = tmp_path / "run"
    with subprocess.Popen([sys.executable, "-c", _WRITER, str(run)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        writer.kill()
        writer.wait()
        with hold(run):
            pass


@pytest.mark.parametrize("planted", ["link", "folder"])
def test_what_somebody_planted_in_its_place_is_one_line(planted, tmp_path):
    (tmp_path / "victim").write_text("mine")
    lock = tmp_path / ".lock"
    lock.symlink_to(tmp_path / "victim") if planted == "link" else lock.mkdir()
    with pytest.raises(RunFolderError, match=r"cannot be locked \(.*: \.lock\)\. Remove that entry$"), hold(tmp_path):
        pass
    assert (tmp_path / "victim").read_text() == "mine"
