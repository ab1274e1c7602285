"""What a person sees: progress, messages and tables, in colour on a terminal."""

import json
import os
import sys
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from edgetl.runs.reporter import Advance, Reporter
from edgetl.runs.words import duration

__all__ = ["TerminalReporter", "plain", "print_json", "print_table"]

_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_TO_JUDGE_BY = 2.0
_GAP = 2
_WHOLE = 40
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
        self._console.print(plain(text), style="dim", markup=False)

    @contextmanager
    def track(self, title: str, total: int, *, even: bool = False) -> Iterator[Advance]:
        if not self._console.is_terminal or os.environ.get("CI"):
            yield self._lines(title, total, even)
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
            yield lambda steps, note: progress.update(task, advance=steps, note=plain(note))

    def _lines(self, title: str, total: int, even: bool) -> Advance:
        start = shown_at = time.monotonic()
        done, foretold = 0, not even
        first: tuple[float, int] | None = None
        """When and where it was at first: what was made before, or a step that also loaded what all need."""

        def advance(steps: int, note: str) -> None:
            nonlocal done, shown_at, foretold, first
            done, now = done + steps, time.monotonic()
            first = first or (now, done)
            left_s = (now - first[0]) * (total - done) / (done - first[1]) if done > first[1] else None
            if not foretold and left_s is not None and now - start > _SECONDS_TO_JUDGE_BY:
                foretold, shown_at = True, now
                if (all_s := now - start + left_s) >= _SECONDS_BETWEEN_LINES:
                    self.expect(all_s)
            elif now - shown_at > _SECONDS_BETWEEN_LINES:
                shown_at = now
                left = f", about {duration(left_s)} left" if left_s else ""
                self._console.print(plain(f"{title}: {done} of {total} {note}".rstrip() + left), markup=False)

        return advance


def plain(text: str) -> str:
    """A text in which nothing steers a terminal: a name may hold escape sequences, and bytes that are no text."""
    return "".join(c.encode("unicode_escape").decode() if _steers(c) else c for c in text)


def _steers(letter: str) -> bool:
    return unicodedata.category(letter).startswith("C") and letter != "\n"


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
    console = Console(highlight=False)
    if widest:
        # A log has no width of its own, for which Rich would take 80.
        has_width = console.is_terminal or "COLUMNS" in os.environ
        console.width = min(widest, console.width) if has_width else widest
    rows = [[plain(cell) for cell in row] for row in rows]
    fits = sum(_narrowest(*column) + _GAP for column in zip(columns, *rows, strict=True)) - _GAP <= console.width
    if fits:
        console.print(_table(columns, rows))
    else:
        _print_cards(console, columns, rows)


def _table(columns: list[str], rows: list[list[str]]) -> Table:
    table = Table(header_style="bold", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        cells = [row[number] for row in rows]
        numeric = bool(rows) and all(map(_is_number, cells))
        justify: Literal["left", "right"] = "right" if numeric else "left"
        table.add_column(
            column, justify=justify, overflow="fold", no_wrap=_is_whole(cells), min_width=_narrowest(column)
        )
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _print_cards(console: Console, columns: list[str], rows: list[list[str]]) -> None:
    """Write rows below each other, where beside each other not even their titles would fit."""
    titles = [" ".join(column.split()) for column in columns]
    wide = max(map(len, titles))
    for row in rows:
        console.print(Text(row[0], style="bold"))
        for title, cell in list(zip(titles, row, strict=True))[1:]:
            if cell:
                console.print(Text(f"  {title.ljust(wide)}  {cell}"))


def _narrowest(column: str, *cells: str) -> int:
    """Letters that a column needs, so that no word of its title and no short cell is broken."""
    whole = cells if _is_whole(cells) else ()
    return max(map(len, [*column.split(), *whole, ""]))


def _is_whole(cells: Sequence[str]) -> bool:
    return all(len(cell) <= _WHOLE and " " not in cell for cell in cells)


def _is_number(text: str) -> bool:
    return text.removesuffix("%").lstrip("+-").replace(".", "", 1).replace("e-", "", 1).isdigit()
