"""This machine as a device: the runner in a process of its own, so that neither a crash nor a library's memory use
affects the caller."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from edgetl.devices.base import Device, Work, Workspace
from edgetl.devices.facts import machine
from edgetl.devices.ram import available_bytes
from edgetl.errors import RunnerFailed
from edgetl.runner.guard import CALL_SECONDS, MEMORY_BYTES, PARENT

__all__ = ["LocalDevice"]

_PREFIX = "edgetl-"
_MEMORY_PART = 0.9
"""Part of the free memory that a runner may take."""


class LocalDevice(Device):
    """This machine."""

    name = "local"
    start_timeout_s = 120.0
    call_timeout_s = 20.0

    def facts(self) -> dict[str, Any]:
        return machine()

    @contextmanager
    def workspace(self) -> Iterator[Workspace]:
        _remove_left_behind()
        with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-") as folder:
            yield _LocalWorkspace(self, Path(folder))

    def limits(self) -> dict[str, str]:
        """What the runner is told: with whom to die, how much memory to take, how long an inference may last."""
        return {
            PARENT: str(os.getpid()),
            MEMORY_BYTES: str(int(_MEMORY_PART * available_bytes())),
            CALL_SECONDS: str(self.call_timeout_s),
        }


def _remove_left_behind() -> None:
    """Remove the folders of processes that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


class _LocalWorkspace(Workspace):
    def __init__(self, device: LocalDevice, folder: Path) -> None:
        self._device, self._folder = device, folder

    def put(self, file: Path) -> str:
        return str(file.absolute())

    def put_text(self, name: str, text: str) -> str:
        file = self._folder / name
        file.write_text(text, encoding="utf-8")
        return str(file)

    def place(self, name: str) -> str:
        return str(self._folder / name)

    def run(self, arguments: Sequence[str], work: Work) -> dict[str, Any]:
        # -P: a user's file named numpy.py in the current folder must not be imported.
        command = [sys.executable, "-P", "-m", "edgetl.runner", *arguments]
        title = " ".join(["runner", *arguments[:2]])
        done = _complete(command, title, self._device.timeout_s(work), self._device.limits())
        answer = _last_json(done.stdout)
        # Exit status 1 is a valid answer, too: the files that were compared differ.
        if done.returncode in (0, 1) and answer is not None and "error" not in answer:
            return answer
        error = RunnerFailed(answer["error"] if answer and "error" in answer else f"{title}: {_reason(done)}")
        if done.stderr:
            error.add_note(done.stderr.rstrip())
        raise error

    def get(self, place: str) -> bytes:
        return Path(place).read_bytes()


def _complete(
    command: list[str], title: str, timeout_s: float, limits: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command that never outlives this call: the timeout and any exception kill it, Ctrl-C included."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        text=True,
        errors="replace",
        env=os.environ | limits,
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise RunnerFailed(f"{title}: no answer within {timeout_s:g} s, so it was stopped") from None
        finally:
            # subprocess.run does not wait after Ctrl-C, and would leave a zombie.
            process.kill()
            process.wait()
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def _last_json(output: str) -> dict[str, Any] | None:
    """The object on the last line; a native library may have printed before it."""
    lines = output.splitlines()
    try:
        answer = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    said = f" ({lines[-1].strip()})" if lines else ""
    if done.returncode == -signal.SIGALRM:
        return "an inference took far too long, so it was stopped"
    if done.returncode >= 0:
        return f"exit status {done.returncode}{said}"
    return f"killed by {_signal_name(-done.returncode)}{said}"


def _signal_name(number: int) -> str:
    known = {each.value: each.name for each in signal.Signals}
    return known.get(number, f"signal {number}")
