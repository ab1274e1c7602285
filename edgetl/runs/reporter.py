"""How stages report what they do: messages, progress, and the time spent inside libraries.

Stages receive a `Reporter` and never print. This base class is silent; the command line has a subclass that draws.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edgetl.runs.words import duration

__all__ = ["Advance", "Reporter"]

Advance = Callable[[int, str], None]
"""`advance(steps, note)` moves a progress bar and sets the note beside it."""


class Reporter:
    """Receives a stage's messages and progress. The base class ignores them."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._library_seconds: defaultdict[str, float] = defaultdict(float)

    def close(self) -> None:
        """Take no further messages."""

    def say(self, text: str) -> None:
        """One line for the user."""

    def expect(self, seconds: float, more: str = "") -> None:
        """Say how long a stage will take; `more` stands behind the time."""
        self.say(f"Expected time: {duration(seconds)}{more}.")

    @contextmanager
    def track(self, title: str, total: int, *, even: bool = False) -> Iterator[Advance]:  # noqa: ARG002  subclasses do
        """Show progress of `total` steps while inside.

        Args:
            title: What is done.
            total: Steps in all.
            even: Whether one step takes as long as another, so that the first ones tell the time of all.
        """
        yield lambda _steps, _note: None

    @contextmanager
    def library(self, name: str) -> Iterator[None]:
        """Count the time inside as spent by a library: a training step, a conversion, a calibration.

        What a stage takes beyond the sum of these is edgetl's own cost.
        """
        start = self._clock()
        try:
            yield
        finally:
            self._library_seconds[name] += self._clock() - start

    def take_library_seconds(self) -> dict[str, float]:
        """Seconds by library since the last call."""
        taken = {name: round(seconds, 4) for name, seconds in sorted(self._library_seconds.items())}
        self._library_seconds.clear()
        return taken
