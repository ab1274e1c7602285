"""What a person sees: progress, messages and tables, in colour on a terminal."""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from edgetl.runs.reporter import Advance, Reporter

__all__ = ["TerminalReporter", "print_json", "print_table"]

_SECONDS_BETWEEN_LINES = 10.0
_WHOLE = 20
"""Letters of the longest word that is not broken where a table is too wide."""


class TerminalReporter(Reporter):
    """Draws progress bars on a terminal, and writes an occasional line to a log."""

    def __init__(self) -> None:
        super().__init__()
        # A descriptor of our own: while a converter's output is redirected, the bars still reach the terminal.
        stream = os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8")
        self._console = Console(file=stream, highlight=False, soft_wrap=True)

    def close(self) -> None:
        self._console.file.close()

    def say(self, text: str) -> None:
        self._console.print(text, style="dim", markup=False)

    @contextmanager
    def track(self, title: str, total: int) -> Iterator[Advance]:
        if not self._console.is_terminal or os.environ.get("CI"):
            yield self._lines(title, total)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
        )
        times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        with Progress(*columns, *times, console=self._console, transient=True) as progress:
            task = progress.add_task(title, total=total, note="")
            yield lambda steps, note: progress.update(task, advance=steps, note=note)

    def _lines(self, title: str, total: int) -> Advance:
        done, shown_at = 0, time.monotonic()

        def advance(steps: int, note: str) -> None:
            nonlocal done, shown_at
            done += steps
            if time.monotonic() - shown_at > _SECONDS_BETWEEN_LINES:
                shown_at = time.monotonic()
                self._console.print(f"{title}: {done} of {total} {note}", markup=False)

        return advance


def print_json(value: dict[str, Any]) -> None:
    """Write a machine-readable answer to standard output."""
    print(json.dumps({"schema_version": 1, **value}, indent=1, ensure_ascii=False))


def print_table(columns: list[str], rows: list[list[str]], *, widest: int | None = None) -> None:
    """Write a table to standard output; numbers are aligned right, and single words are never broken.

    Args:
        columns: Their titles.
        rows: A text for each column.
        widest: Letters that a line may have at most; None for as many as the terminal has.
    """
    table = Table(header_style="bold", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        cells = [row[number] for row in rows]
        numeric = bool(rows) and all(map(_is_number, cells))
        whole = all(len(cell) <= _WHOLE and " " not in cell for cell in cells)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold", no_wrap=whole)
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False)
    if widest:
        # A log has no width of its own, for which Rich would take 80.
        has_width = console.is_terminal or "COLUMNS" in os.environ
        console.width = min(widest, console.width) if has_width else widest
    console.print(table)


def _is_number(text: str) -> bool:
    return text.removesuffix("%").lstrip("+-").replace(".", "", 1).replace("e-", "", 1).isdigit()
