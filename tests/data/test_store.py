"""The array on disk: it grows in place, and a kill at any moment loses no piece that was whole."""

import errno
import os

import numpy as np
import pytest

from edgetl.data.store import ArrayStore
from edgetl.runs.files import write_atomic

IMAGES, WIDTH = 5, 3
PIECES = ((0, 3), (3, 5))


def store(folder, views, **about):
    return ArrayStore(folder, "numbers", (views, IMAGES, WIDTH), "<f2", {"what": "these"} | about)


def number(view):
    """What belongs to a view."""
    return np.arange(IMAGES * WIDTH, dtype="<f2").reshape(IMAGES, WIDTH) + 100 * view


def fill(array, views):
    array.prepare()
    for view in views:
        for start, stop in PIECES:
            array.write((view, start, stop), number(view)[start:stop], rank=0)


def pieces(*views):
    return {(view, start, stop) for view in views for start, stop in PIECES}


def test_an_array_grows_and_keeps_what_it_has(tmp_path):
    fill(store(tmp_path, 2), range(2))
    more = store(tmp_path, 4)
    assert (more.new_bytes, more.size_bytes) == (60, 120)
    more.prepare()
    assert (more.new_bytes, more.stated()["shape"]) == (0, [4, IMAGES, WIDTH])
    assert more.finished() == pieces(0, 1)
    fill(more, (2, 3))
    np.testing.assert_array_equal(more.read(), [number(view) for view in range(4)])


def test_an_array_of_more_views_serves_and_stays(tmp_path):
    fill(store(tmp_path, 3), range(3))
    fewer = store(tmp_path, 2)
    assert fewer.new_bytes == 0
    fewer.prepare()
    assert fewer.finished() == pieces(0, 1)
    np.testing.assert_array_equal(fewer.read(), [number(0), number(1)])
    assert store(tmp_path, 3).finished() == pieces(0, 1, 2)
    assert fewer.stated()["shape"] == [3, IMAGES, WIDTH]


def test_another_array_takes_its_place(tmp_path):
    fill(store(tmp_path, 2), range(2))
    other = store(tmp_path, 2, what="those")
    assert other.new_bytes == other.size_bytes
    other.prepare()
    assert other.finished() == set()
    assert not list(tmp_path.glob("*.log"))


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours runs after it but what the test does."""


MOMENTS = {
    "before the space is taken": ("os.posix_fallocate", False),
    "after the space is taken": ("os.posix_fallocate", True),
    "before the new size is written": ("edgetl.data.store.write_atomic", False),
    "after the new size is written": ("edgetl.data.store.write_atomic", True),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_while_it_grows_loses_nothing(moment, tmp_path, monkeypatch):
    fill(store(tmp_path, 2), range(2))
    name, after = MOMENTS[moment]
    own = os.posix_fallocate if name == "os.posix_fallocate" else write_atomic

    def kill(*arguments):
        if after:
            own(*arguments)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(name, kill)
        with pytest.raises(Killed):
            store(tmp_path, 4).prepare()
    same = store(tmp_path, 2)
    same.prepare()
    assert same.finished() == pieces(0, 1), "who wants no more than before finds all of it"
    more = store(tmp_path, 4)
    more.prepare()
    assert more.finished() == pieces(0, 1)
    fill(more, (2, 3))
    np.testing.assert_array_equal(more.read(), [number(view) for view in range(4)])


def test_a_full_disk_leaves_the_array_as_it_was(tmp_path, monkeypatch):
    fill(store(tmp_path, 2), range(2))

    def refuse(*_arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("os.posix_fallocate", refuse)
        with pytest.raises(OSError, match="No space left") as caught:
            store(tmp_path, 4).prepare()
    assert caught.value.filename == str(tmp_path / "numbers.bin")
    assert store(tmp_path, 2).finished() == pieces(0, 1)
    assert store(tmp_path, 2).stated()["shape"] == [2, IMAGES, WIDTH]


def test_a_file_that_was_cut_off_loses_only_what_is_gone(tmp_path):
    fill(store(tmp_path, 2), range(2))
    os.truncate(tmp_path / "numbers.bin", 50)  # of 60
    again = store(tmp_path, 2)
    again.prepare()
    assert again.finished() == pieces(0, 1) - {(1, 3, 5)}
