"""What a device is: a place where models run, through the runner that is there.

Adding one (emulated, behind ssh) is one file with a `Device` and its `Workspace`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

__all__ = ["Device", "Work", "Workspace"]


@dataclass(frozen=True)
class Work:
    """How much a command has to do, from which a device knows when to give it up."""

    calls: int
    """Inferences, those with preprocessing included."""

    seconds: float = 0.0
    """Time that it takes on purpose, in seconds, beyond what the calls need."""


class Workspace(ABC):
    """A folder on a device for one command; it is gone when the command is done."""

    @abstractmethod
    def put(self, file: Path) -> str:
        """Have a file of this machine there, with what belongs to it; returns its path there.

        Raises:
            RunnerFailed: The device cannot take it.
        """

    @abstractmethod
    def put_text(self, name: str, text: str) -> str:
        """Write a small file there; returns its path."""

    @abstractmethod
    def place(self, name: str) -> str:
        """A path there for a file that the command is to write."""

    @abstractmethod
    def run(self, arguments: Sequence[str], work: Work) -> dict[str, Any]:
        """Run a command of the runner there; returns the JSON object that it prints.

        Raises:
            RunnerFailed: It refused, died, took too long or answered something else.
        """

    @abstractmethod
    def get(self, place: str) -> bytes:
        """What the command wrote at a place there."""


class Device(ABC):
    """Where models run. What a device costs in time is its own to know: start, and one inference."""

    name: ClassVar[str]
    start_timeout_s: ClassVar[float]
    """Seconds after which a runner that has not started is given up."""

    call_timeout_s: ClassVar[float]
    """Seconds after which an inference is given up; far beyond any honest one, since it only ends what hangs."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """CPU, architecture, cores, instruction sets, memory and system."""

    @abstractmethod
    def workspace(self) -> AbstractContextManager[Workspace]:
        """Open a folder there for one command."""

    def timeout_s(self, work: Work) -> float:
        """Seconds after which a command is stopped."""
        return self.start_timeout_s + 2 * work.seconds + self.call_timeout_s * work.calls
