"""`edgetl` and `python -m edgetl`: how the program starts, and how it ends when it is told to."""

import os
import signal
import sys
from types import FrameType

__all__ = ["main"]

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LONGEST_END_S = 10.0
"""Time to save and to clean up; a process that is killed then loses no more than one that is killed at any time."""


def main() -> None:
    """Run the command line; Ctrl-C, SIGTERM and SIGHUP end it without a traceback, and at once if one comes twice."""
    told: list[int] = []

    def end(number: int, _frame: FrameType | None) -> None:
        told.append(number)
        for each in _ENDING:
            signal.signal(each, _leave)
        # Python drops what is raised while it cleans up an object, and would go on as if nothing had been told.
        signal.signal(signal.SIGALRM, lambda _number, _frame: os._exit(128 + number))
        signal.setitimer(signal.ITIMER_REAL, _LONGEST_END_S)
        raise KeyboardInterrupt  # what Ctrl-C saves is saved, whatever the signal

    for number in _ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup and a shell's background jobs have it
            signal.signal(number, end)
    try:
        from edgetl.cli.app import main as run

        run()
    except (KeyboardInterrupt, SystemExit):  # libraries make one of the other
        if told:
            sys.exit(128 + told[0])
        raise


def _leave(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)


if __name__ == "__main__":  # a worker process imports this module, too
    main()
