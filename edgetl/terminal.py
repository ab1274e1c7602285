"""What a person sees: progress, messages and tables, in colour where there is a terminal."""

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
from rich.text import Text

from edgetl.artifact import RunFolder
from edgetl.compress.schema import RECEIPT_FILE, RECEIPT_SCHEMA
from edgetl.recommend import advice
from edgetl.reporter import Advance, Reporter

__all__ = ["TerminalReporter", "print_explanation", "print_json", "print_run", "print_table", "read_report"]

_SECONDS_BETWEEN_LINES = 10.0


class TerminalReporter(Reporter):
    """Draws progress bars on a terminal, and writes a line now and then into a log."""

    def __init__(self) -> None:
        super().__init__()
        # A descriptor of our own: while a converter's chatter is redirected, the bars stay where they are.
        stream = os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8")
        self._console = Console(file=stream, highlight=False, soft_wrap=True)

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


def print_table(columns: list[str], rows: list[list[str]]) -> None:
    """Write a table to standard output; numbers are aligned right."""
    table = Table(header_style="bold", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        numeric = bool(rows) and all(_is_number(row[number]) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False).print(table)


def _is_number(text: str) -> bool:
    return text.removesuffix("%").lstrip("+-").replace(".", "", 1).replace("e-", "", 1).isdigit()


def print_run(folder: RunFolder) -> None:
    """Write what a run has so far: one line per artifact with whatever was measured."""
    bench, receipt = read_report(folder, "bench.json"), read_report(folder, RECEIPT_FILE)
    proofs, times = _by_file(read_report(folder, "verify.json")), _by_file(bench)
    receipt = receipt if receipt.get("schema_version") == RECEIPT_SCHEMA else {}
    if receipt and not proofs and not times:
        _print_receipt(receipt)
    rows = []
    for artifact in folder.artifacts() if folder.stage("export") else []:
        proof, timing = proofs.get(artifact["file"]), times.get(artifact["file"])
        rows.append(
            [
                artifact["file"],
                f"{proof['top1']:.1%}" if proof else "",
                f"{proof['agreement']:.1%}" if proof else "",
                f"{proof['max_probability_difference']:.1e}" if proof else "",
                f"{timing['inference']['p50_ms']:.2f}" if timing else "",
                f"{timing['with_preprocessing']['p50_ms']:.2f}" if timing else "",
                f"{timing['size_bytes'] / 1e6:.2f}" if timing else "",
                ("proven" if proof["passed"] else "FAILED") if proof else "",
            ]
        )
    if rows and (proofs or times or not receipt):
        columns = ["artifact", "top-1", "agrees", "max diff", "p50 ms", "with prep.", "MB", "verdict"]
        print_table(columns, rows)
    if bench:
        print(f"Timed on: {bench['machine']['cpu']} ({bench['machine']['architecture']})")
    if told := advice(read_report(folder, "verify.json"), bench):
        print(told)
    page = folder.path / "report.html"
    print(f"Report: {page}" if page.is_file() else f"Run: {folder.path}")


def _print_receipt(receipt: dict[str, Any]) -> None:
    """Write what each rung of quantization gave, on the validation images."""
    rows = []
    for attempt in receipt["attempts"]:
        found, kept = attempt["measured"], receipt["kept"][attempt["file"]]
        is_kept = kept and (kept["rung"], kept["note"]) == (attempt["rung"], attempt["note"])
        numbers = _accuracy(found) if found else [""] * 3
        more = [f"{found['p50_ms']:.2f}", f"{found['size_bytes'] / 1e6:.2f}"] if found else [""] * 2
        unmeasured = "DOES NOT RUN" if attempt["problem"] else ""
        verdict = "inside" if attempt["passed"] else "OUTSIDE" if found else unmeasured
        name = f"{attempt['format']} {attempt['precision']}: {attempt['rung']} ({attempt['note']})"
        rows.append([name, *numbers, *more, f"{verdict}, kept" if is_kept else verdict])
    print_table(["quantized", "top-1", "drop", "changed", "p50 ms", "MB", "bounds"], rows)


def _accuracy(found: dict[str, Any]) -> list[str]:
    """Top-1, drop with its standard error, and answers that change."""
    drop = f"{100 * found['drop']:.2f} ± {100 * found['drop_error']:.2f}"
    return [f"{found['top1']:.1%}", drop, f"{found['flips']:.2%}"]


def print_explanation(explained: dict[str, Any]) -> None:
    """Write the reasons for each format: share of the integer file's time, milliseconds, reason and cure."""
    console = Console(highlight=False)
    for each in explained["about_machine"]:
        console.print(_reason(each), end="\n\n")
    for each in explained["formats"]:
        headline, *reasons = each["findings"]
        console.print(f"{each['integer']['file']}: {headline['what']}", style="bold", markup=False)
        console.print(headline["advice"], markup=False)
        console.print(_origin(each), style="dim", markup=False)
        console.print(_reasons(reasons))
        console.print()
    fastest, machine = explained["fastest"], explained["machine"]
    print(f"Fastest here: {fastest['file']}, {fastest['p50_ms']:.3g} ms")
    print(f"Measured on: {machine['cpu']} ({machine['architecture']})")


def _origin(explained: dict[str, Any]) -> str:
    """What ran the file, and where the shares come from."""
    runtime, threads = explained["runtime"], explained["threads"]
    used = f"{threads} thread{'' if threads == 1 else 's'}"
    return f"{runtime['name']} {runtime['version']} ({runtime['provider']}), {used}. {explained['origin']}"


def _reasons(findings: list[dict[str, Any]]) -> Table:
    table = Table(header_style="bold", box=None, pad_edge=False)
    table.add_column("share", justify="right")
    table.add_column("ms", justify="right")
    table.add_column("why, and what to do")
    for each in findings:
        share = "" if each["share"] is None else f"{each['share']:.0%}"
        time_ms = "" if each["milliseconds"] is None else f"{each['milliseconds']:.3f}"
        table.add_row(share, time_ms, _reason(each))
    return table


def _reason(finding: dict[str, Any]) -> Text:
    return Text(finding["what"]).append(f"\n{finding['advice']}", style="dim")


def read_report(folder: RunFolder, name: str) -> dict[str, Any]:
    """A stage's report, empty if the stage has not run."""
    if name not in folder.manifest["files"]:
        return {}
    report: dict[str, Any] = json.loads(folder.file(name).read_text(encoding="utf-8"))
    return report


def _by_file(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {artifact["file"]: artifact for artifact in report.get("artifacts", [])}
