"""Start the runner in a process of its own, so that neither a crash nor another library's memory touches the caller."""

import json
import signal
import subprocess
import sys
from typing import Any

from .errors import RunnerError

__all__ = ["call_runner"]


def call_runner(arguments: list[str], *, timeout_s: float) -> dict[str, Any]:
    """Run `python -m edgetl.runner ARGUMENTS` and return its JSON object.

    The child never outlives this call: it is killed at the timeout and on any exception, Ctrl-C included.

    Args:
        arguments: A command of the runner and its options.
        timeout_s: Seconds after which the child is stopped.

    Raises:
        RunnerError: It refused, crashed, took too long or answered something else. What it wrote to standard error is
            attached as a note.
    """
    # -P: a file of the user named numpy.py in the current folder must not be imported.
    command = [sys.executable, "-P", "-m", "edgetl.runner", *arguments]
    done = _complete(command, _title(arguments), timeout_s)
    answer = _last_json(done.stdout)
    if done.returncode == 0 and answer is not None:
        return answer
    error = RunnerError(answer["error"] if answer and "error" in answer else f"{_title(arguments)}: {_reason(done)}")
    if done.stderr:
        error.add_note(done.stderr.rstrip())
    raise error


def _complete(command: list[str], title: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, errors="replace"
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise RunnerError(f"{title}: no answer within {timeout_s:g} s, so it was stopped") from None
        finally:
            # subprocess.run does not wait after Ctrl-C, and would leave a zombie.
            process.kill()
            process.wait()
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def _title(arguments: list[str]) -> str:
    return " ".join(["runner", *arguments[:2]])


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
    if done.returncode >= 0:
        return f"exit status {done.returncode}{said}"
    return f"killed by {_signal_name(-done.returncode)}{said}"


def _signal_name(number: int) -> str:
    known = {each.value: each.name for each in signal.Signals}
    return known.get(number, f"signal {number}")
