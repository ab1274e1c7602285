"""Run a stage in a child that may be killed at any moment, or whose disk fails at a chosen call."""

import errno
import hashlib
import json
import os
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgetl.errors import EdgetlError

__all__ = ["Child", "fail_at_call", "journal_of", "keep_journal", "kill_at_call", "note_calls", "sha256", "start"]

_OWN_BUG = 70


class Child:
    """A forked process that runs one function; the parent never trains, so that a fork is safe."""

    def __init__(self, work: Callable[[], None], log: Path) -> None:
        self.log = log
        self.pid = os.fork()
        if self.pid == 0:
            _run(work, log)

    def wait(self, kill_after_s: float | None = None) -> int:
        """Wait for the end, or kill it; its exit code, or minus the signal that ended it."""
        deadline = None if kill_after_s is None else time.monotonic() + kill_after_s
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if deadline is not None and time.monotonic() >= deadline:
                os.kill(self.pid, signal.SIGKILL)
                deadline = None
            time.sleep(0.002)


def _run(work: Callable[[], None], log: Path) -> None:
    code = 0
    with log.open("w") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
        try:
            work()
        except EdgetlError as error:
            out.write(str(error))
            code = error.exit_code
        except BaseException:
            traceback.print_exc(file=out)
            code = _OWN_BUG
        out.flush()
    os._exit(code)


def start(work: Callable[[], None], log: Path) -> Child:
    """Run `work` in a child."""
    return Child(work, log)


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def keep_journal(journal: Path) -> None:
    """In a child: note every checkpoint that was written, with the hash of all its tensors."""
    import edgetl.train.state as state

    own = state.save_checkpoint

    def noted(folder: Path, inputs: str, checkpoint: Any, tensors: Any) -> None:
        own(folder, inputs, checkpoint, tensors)
        file = folder / f"step-{checkpoint.steps_done:09d}.safetensors"
        with journal.open("a") as lines:
            lines.write(json.dumps([str(folder.name), checkpoint.steps_done, sha256(file)]) + "\n")

    state.save_checkpoint = noted


def journal_of(journal: Path) -> list[tuple[str, int, str]]:
    """What `keep_journal` noted: training, step and hash."""
    lines = journal.read_text().splitlines() if journal.is_file() else []
    return [(name, step, digest) for name, step, digest in map(json.loads, lines)]


def kill_at_call(number: int) -> None:
    """In a child: die right before its n-th call for a file: open to write, take space, fsync, rename, unlink."""
    _at_call(lambda seen, _name: os.kill(os.getpid(), signal.SIGKILL) if seen == number else None)


def fail_at_call(number: int, code: int = errno.ENOSPC) -> None:
    """In a child: let the n-th of those calls fail, and every later one that would take space."""

    def act(seen: int, name: str) -> None:
        if seen == number or (seen > number and name != "unlink"):
            raise OSError(code, os.strerror(code), name)

    _at_call(act)


def note_calls(place: Path) -> None:
    """In a child: write down the names of those calls, a line each."""

    def note(_seen: int, name: str) -> None:
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, f"{name}\n".encode())
        os.close(descriptor)

    _at_call(note)


def _at_call(act: Callable[[int, str], Any]) -> None:
    seen = 0

    def counted(name: str, own: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal seen
            if name != "open" or set("wa+") & set(str((*arguments[1:2], options.get("mode", "")))):
                seen += 1
                act(seen, name)
            return own(*arguments, **options)

        return call

    os.fsync = counted("fsync", os.fsync)
    os.posix_fallocate = counted("fallocate", os.posix_fallocate)
    for name in ("open", "replace", "unlink"):
        setattr(Path, name, counted(name, getattr(Path, name)))
