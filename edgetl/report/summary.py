"""The top of the page: what was found out, in a word each, and the few numbers that readers look for first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from edgetl.bench.recommend import recommend
from edgetl.data.index import read_index
from edgetl.recipe.fields import Recipe
from edgetl.report.rows import Row
from edgetl.report.sources import Sources
from edgetl.report.words import accuracy_range, file_size, milliseconds, percent, points, probability_difference
from edgetl.runs.stage import StageContext
from edgetl.runs.words import counted
from edgetl.verify.schema import Word

__all__ = ["Finding", "Tile", "about_files", "about_network", "headline_tiles", "student_name", "teacher_name"]

State = Literal["good", "bad", "open"]

_STATES: dict[Word, State] = {
    "BETTER THAN GUESSING": "good",
    "NO BETTER THAN GUESSING": "bad",
    "WORSE THAN A LINEAR PROBE": "bad",
    "CANNOT TELL": "open",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was found out, in a word and in full."""

    about: str
    """'Files' or 'Network'."""

    word: str
    state: State
    sentence: str
    notes: tuple[str, ...] = ()
    """Failures, or what the test images cannot tell."""


@dataclass(frozen=True)
class Tile:
    """One large number."""

    title: str
    value: str
    note: str


def student_name(context: StageContext) -> str:
    """The trained network's name."""
    return str((context.folder.manifest.get("model") or {}).get("name", "model"))


def teacher_name(context: StageContext) -> str | None:
    """The network that the run's network was distilled from, or None if it learned from labels alone."""
    return " + ".join(str(teacher["model"]) for teacher in _teachers(context)) or None


def _teachers(context: StageContext) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = context.folder.manifest.get("lineage", {}).get("teachers", [])
    return found


def about_files(sources: Sources, rows: Sequence[Row], made_from: Recipe, run: str) -> Finding:
    """Whether the files answer as the trained network does."""
    if sources.verify is None:
        return Finding("Files", "NOT VERIFIED", "open", f"Nothing has been proven yet. Run: edgetl verify {run}")
    proven = [row for row in rows if row.verdict]
    failures = tuple(f"{row.file}: {reason}" for row in proven if row.verdict for reason in row.verdict.reasons)
    images = counted(sources.verify["test_images"], "test image")
    word, state, start = _proof(proven, images)
    more = [*_float_sentence(proven), *_integer_sentence(proven, made_from.quantize.max_drop)]
    return Finding("Files", word, state, " ".join([start, *more]), failures)


def _proof(proven: Sequence[Row], images: str) -> tuple[str, State, str]:
    """Word, state and first sentence of the proof."""
    files, open_ones = counted(len(proven), "file"), sum(row.failed for row in proven)
    if differing := sum(row.differs for row in proven):
        return "NOT AS TRAINED", "bad", f"{differing} of {files} failed the proof on {images}."
    if open_ones:
        return "UNDECIDED", "open", f"{images} cannot decide about {open_ones} of {files}."
    return "AS TRAINED", "good", f"{files} passed the proof on {images}."


def about_network(sources: Sources) -> Finding | None:
    """Whether the trained network is any good; None if it was not verified."""
    if sources.verify is None:
        return None
    worth = sources.verify["worth"]
    return Finding("Network", worth["word"], _STATES[worth["word"]], worth["sentence"], tuple(worth["warnings"]))


def _float_sentence(rows: Sequence[Row]) -> list[str]:
    found = [row.proof["max_probability_difference"] for row in rows if row.proof and row.is_exact]
    if not found:
        return []
    return [f"Float files differ from PyTorch by at most {probability_difference(max(found))} in any probability."]


def _integer_sentence(rows: Sequence[Row], max_drop: float) -> list[str]:
    worst = _worst_drop(rows)
    if worst is None or worst.proof is None:
        return []
    lost = f"The largest loss of top-1 from quantization is {points(worst.proof['drop'])} points"
    return [f"{lost} (allowed: {points(max_drop)})."]


def _worst_drop(rows: Sequence[Row]) -> Row | None:
    quantized = [row for row in rows if row.proof and not row.is_exact]
    return max(quantized, key=lambda row: row.proof["drop"] if row.proof else 0.0, default=None)


def headline_tiles(context: StageContext, sources: Sources, rows: Sequence[Row]) -> list[Tile]:
    """One tile for each number that is available."""
    return [
        *_student_tile(context, sources),
        *_teacher_tile(context, sources),
        *_control_tile(sources),
        *_bench_tiles(sources, [row for row in rows if row.bench and not row.failed]),
        *_drop_tile(rows),
    ]


def _student_tile(context: StageContext, sources: Sources) -> list[Tile]:
    if sources.verify is None:
        return []
    reference = sources.verify["reference"]
    title = "Student top-1" if teacher_name(context) else "Top-1"
    made = f"{student_name(context)}, {reference['runtime']}"
    return [_accuracy_tile(title, reference["top1"], sources.verify["test_images"], made)]


def _accuracy_tile(title: str, top1: float, images: int, note: str) -> Tile:
    interval = accuracy_range(top1, images)
    return Tile(title, percent(top1), f"95 % interval {interval}; {note}" if interval else note)


def _teacher_tile(context: StageContext, sources: Sources) -> list[Tile]:
    teachers = _teachers(context)
    if not teachers:
        return []
    together = context.folder.manifest["lineage"].get("ensemble_test_top1")
    top1 = teachers[0]["test_top1"] if together is None else together
    images = sources.verify["test_images"] if sources.verify else len(read_index(context.folder).split("test"))
    return [_accuracy_tile("Teacher top-1", top1, images, f"{teacher_name(context)}, same test images")]


def _control_tile(sources: Sources) -> list[Tile]:
    gain = sources.control
    if gain is None:
        return []
    interval = f"points ({gain.low:.1f} to {gain.high:.1f}); without it, same budget, {counted(gain.seeds, 'seed')}"
    return [Tile(gain.finding, f"{gain.points:+.1f}", interval)]


def _bench_tiles(sources: Sources, rows: Sequence[Row]) -> list[Tile]:
    timed = [(row, row.bench) for row in rows if row.bench]
    if not timed:
        return []
    small, small_bench = min(timed, key=lambda pair: pair[1]["size_bytes"])
    smallest = Tile("Smallest artifact", file_size(small_bench["size_bytes"]), small.file)
    if found := recommend(sources.verify or {}, sources.bench or {}):
        return [smallest, Tile("Recommended", milliseconds(found.p50_ms), f"{found.file}, median")]
    fast, fast_bench = min(timed, key=lambda pair: pair[1]["inference"]["p50_ms"])
    return [smallest, Tile("Fastest artifact", milliseconds(fast_bench["inference"]["p50_ms"]), f"{fast.file}, median")]


def _drop_tile(rows: Sequence[Row]) -> list[Tile]:
    worst = _worst_drop(rows)
    if worst is None or worst.proof is None:
        return []
    return [Tile(f"Worst {worst.precision} drop", f"{points(worst.proof['drop'])} points", worst.file)]
