"""A run's results for people: one line per artifact, the receipt of quantization, reasons, a forecast."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgetl.bench.recommend import advice, use_of
from edgetl.bench.timings import read_timings
from edgetl.chain.forecast import Forecast, total_of
from edgetl.cli.terminal import print_table
from edgetl.quantize.schema import read_receipt
from edgetl.runs.artifact import Artifact
from edgetl.runs.folder import RunFolder
from edgetl.runs.words import accuracy_range
from edgetl.verify.schema import read_proof

if TYPE_CHECKING:
    from edgetl.chain.predicting import Answers
    from edgetl.zoo.stages import NetworkStage

__all__ = ["print_answers", "print_explanation", "print_forecast", "print_run", "print_stages"]

_VERDICTS = {"PASS": "equal", "FAIL": "DIFFERS", "INCONCLUSIVE": "undecided"}
_INTERVAL = "95%\ninterval"
_WIDEST = 100
"""Letters of the longest line of a table of results."""


def print_run(folder: RunFolder) -> None:
    """Print a run's results so far: one line per artifact with whatever was measured."""
    bench, receipt = read_timings(folder) or {}, read_receipt(folder)
    verify = read_proof(folder) or {}
    images = verify.get("test_images", 0)
    proofs, times = _by_file(verify), _by_file(bench)
    if receipt and not proofs and not times:
        _print_receipt(receipt)
    artifacts = folder.artifacts() if folder.stage("export") else []
    rows = [_row(each, proofs.get(each.file), times.get(each.file), images) for each in artifacts]
    if told := advice(verify, bench):
        _print_advice(told, use_of(folder.path, verify, bench))
    if verify:
        _print_worth(verify)
    if rows and (proofs or times or not receipt):
        columns = ["agrees", "max\ndiff", "p50\nms", "with\nprep.", "MB", "proof"]
        _print_results(["artifact", "top-1", _INTERVAL, *columns], rows)
    if bench:
        print(f"Timed on: {bench['machine']['cpu']} ({bench['machine']['architecture']})")
    page = "report.html"
    print(f"Report: {folder.path / page}" if page in folder.manifest["files"] else f"Run: {folder.path}")


def _print_advice(told: str, use: str) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(told, style="bold", markup=False)
    if use:
        console.print(f"Use it: {use}", markup=False)


def _print_worth(verify: dict[str, Any]) -> None:
    """Write what the test images say of the trained network, and what they cannot say."""
    console, worth = Console(highlight=False, soft_wrap=True), verify["worth"]
    console.print(Text(f"Network: {worth['word']}. ", style="bold").append(worth["sentence"], style="not bold"))
    for warning in worth["warnings"]:
        console.print(f"Careful: {warning}", style="yellow", markup=False)


def _row(artifact: Artifact, proof: dict[str, Any] | None, timing: dict[str, Any] | None, images: int) -> list[str]:
    measured = proof if proof and "top1" in proof else None
    return [
        artifact.file,
        *([f"{measured['top1']:.1%}", accuracy_range(measured["top1"], images)] if measured else [""] * 2),
        f"{measured['agreement']:.1%}" if measured else "",
        f"{measured['max_probability_difference']:.1e}" if measured else "",
        f"{timing['inference']['p50_ms']:.2f}" if timing else "",
        f"{timing['with_preprocessing']['p50_ms']:.2f}" if timing else "",
        f"{artifact.size_bytes / 1e6:.2f}" if timing else "",
        _VERDICTS[proof["verdict"]["status"]] if proof else "",
    ]


def _print_receipt(receipt: dict[str, Any]) -> None:
    """Write what each rung of quantization gave, on the validation images."""
    rows = []
    for attempt in receipt["attempts"]:
        found, kept = attempt["measured"], receipt["kept"][attempt["file"]]
        is_kept = kept and (kept["rung"], kept["note"]) == (attempt["rung"], attempt["note"])
        numbers = _accuracy(found, receipt["validation_images"]) if found else [""] * 4
        more = [f"{found['p50_ms']:.2f}", f"{found['size_bytes'] / 1e6:.2f}"] if found else [""] * 2
        unmeasured = "DOES NOT RUN" if attempt["problem"] else ""
        verdict = "inside" if attempt["passed"] else "OUTSIDE" if found else unmeasured
        name = f"{attempt['format']} {attempt['precision']}: {attempt['rung']} ({attempt['note']})"
        rows.append([name, *numbers, *more, f"{verdict}, kept" if is_kept else verdict])
    _print_results(["quantized", "top-1", _INTERVAL, "drop", "changed", "p50\nms", "MB", "bounds"], rows)


def _print_results(columns: list[str], rows: list[list[str]]) -> None:
    """Print a table, without the column of intervals where there are none."""
    place = columns.index(_INTERVAL)
    shown = [number for number in range(len(columns)) if number != place or any(row[place] for row in rows)]
    print_table([columns[n] for n in shown], [[row[n] for n in shown] for row in rows], widest=_WIDEST)


def print_answers(answers: "Answers", top: int) -> None:
    """Write what images show: of one image a line for each label, of several a line for each image."""
    rows = answers.top(top)
    if len(rows) == 1:
        print(f"{rows[0]['image']}:")
        print_table(["label", "confidence"], [[each["label"], f"{each['probability']:.1%}"] for each in rows[0]["top"]])
    else:
        print_table(["image", "label", "confidence", "or"], [_answer(row) for row in rows])
    print(f"By: {answers.by}")


def _answer(row: dict[str, Any]) -> list[str]:
    first, *others = row["top"]
    rest = ", ".join(f"{each['label']} {each['probability']:.1%}" for each in others)
    return [row["image"], first["label"], f"{first['probability']:.1%}", rest]


def print_stages(stages: "Sequence[NetworkStage]") -> None:
    """Write a line for each stage of a network: output, parameters and its part of the multiplications."""
    whole = sum(stage.multiply_adds for stage in stages)
    rows = [
        [
            stage.name,
            " x ".join(map(str, stage.output_shape)),
            f"{stage.parameters / 1e6:.2f}",
            f"{stage.multiply_adds / whole:.0%}",
        ]
        for stage in stages
    ]
    print_table(["stage", "output", "million parameters", "of the work"], rows)


def print_forecast(found: "Sequence[Forecast]") -> None:
    """Write a line for each stage of each run, and the sum of the known times."""
    rows = [[str(each.run.folder), each.run.role, each.stage, each.state, each.expectation] for each in found]
    print_table(["run", "role", "stage", "state", "expected"], rows)
    print(total_of(found))


def _accuracy(found: dict[str, Any], images: int) -> list[str]:
    """Top-1 and its interval, drop with its standard error, and the fraction of answers that change."""
    drop = f"{100 * found['drop']:.2f} ± {100 * found['drop_error']:.2f}"
    return [f"{found['top1']:.1%}", accuracy_range(found["top1"], images), drop, f"{found['flips']:.2%}"]


def print_explanation(folder: RunFolder, explained: dict[str, Any]) -> None:
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
    print(f"Fastest here: {fastest['file']}, {fastest['p50_ms']:.3g} ms{_beside_bench(folder, fastest)}")
    print(f"Measured on: {machine['cpu']} ({machine['architecture']})")
    if told := advice(read_proof(folder) or {}, read_timings(folder) or {}):
        print(told)


def _beside_bench(folder: RunFolder, fastest: dict[str, Any]) -> str:
    """What the benchmark says of the same file, if that is another number."""
    timing = _by_file(read_timings(folder) or {}).get(fastest["file"])
    measured = f"{timing['inference']['p50_ms']:.3g}" if timing else ""
    if measured in ("", f"{fastest['p50_ms']:.3g}"):
        return ""
    return f" ('edgetl bench' said {measured} ms: another, longer measurement, and the threads may be others)"


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
    percents = _whole_percents([each["share"] for each in findings])
    for each, percent in zip(findings, percents, strict=True):
        share = "" if percent is None else f"{percent}%"
        time_ms = "" if each["milliseconds"] is None else f"{each['milliseconds']:.3f}"
        table.add_row(share, time_ms, _reason(each))
    return table


def _whole_percents(shares: Sequence[float | None]) -> list[int | None]:
    """Shares in whole percent that add up to what the shares do: those that lose most by rounding down get the rest."""
    exact = [100 * share for share in shares if share is not None]
    whole = [int(each) for each in exact]
    order = sorted(range(len(exact)), key=lambda place: whole[place] - exact[place])
    for place in order[: round(sum(exact)) - sum(whole)]:
        whole[place] += 1
    rounded = iter(whole)
    return [None if share is None else next(rounded) for share in shares]


def _reason(finding: dict[str, Any]) -> Text:
    return Text(finding["what"]).append(f"\n{finding['advice']}", style="dim")


def _by_file(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {artifact["file"]: artifact for artifact in report.get("artifacts", [])}
