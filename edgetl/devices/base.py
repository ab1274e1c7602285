"""What a device is: a place where models run, through the runner installed there.

To add one (emulated, behind ssh), write one file with a `Device` and its `Workspace`.
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
    """How much a command has to do; a device derives its timeout from this."""

    calls: int
    """Inferences, those with preprocessing included."""

    seconds: float = 0.0
    """Seconds that the command is meant to take, beyond what the calls need."""


class Workspace(ABC):
    """A folder on a device for one command; it is gone when the command is done."""

    @abstractmethod
    def put(self, file: Path) -> str:
        """Make a file of this machine available on the device, with what belongs to it; returns its path there.

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
            RunnerFailed: It refused, died, took too long, or did not print such an object.
        """

    @abstractmethod
    def get(self, place: str) -> bytes:
        """The bytes that the command wrote to a path there."""


class Device(ABC):
    """Where models run. Each device sets its own time limits for starting the runner and for one inference."""

    name: ClassVar[str]
    start_timeout_s: ClassVar[float]
    """Seconds to wait for the runner to start."""

    call_timeout_s: ClassVar[float]
    """Seconds to wait for one inference; far more than any real one takes, since it only serves to end a hang."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """CPU, architecture, cores, instruction sets, memory and system."""

    @abstractmethod
    def workspace(self) -> AbstractContextManager[Workspace]:
        """Open a folder there for one command."""

    def timeout_s(self, work: Work) -> float:
        """Seconds after which a command is stopped."""
        return self.start_timeout_s + 2 * work.seconds + self.call_timeout_s * work.calls
