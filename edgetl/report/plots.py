"""The page's plots, each for a wide and for a narrow screen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from edgetl.report.curves import training_figure
from edgetl.report.drawing import house_style, inline_svg, rows_height, save_png
from edgetl.report.figures import PlotPoint, accuracy_latency_figure, front_of, latency_figure, point_id
from edgetl.report.quantization import LARGEST_CHART, ladder_figure, sensitivity_figure
from edgetl.report.rows import Row, short_names
from edgetl.report.sources import Sources
from edgetl.report.words import accuracy, milliseconds

__all__ = ["Plot", "Plots", "draw_plots"]

_Size = tuple[float, float]
_WIDE_PARETO, _NARROW_PARETO = (8.6, 4.6), (3.9, 4.4)
_WIDE_TRAINING, _NARROW_TRAINING = (8.6, 3.1), (3.9, 5.6)
_WIDE_ROWS, _NARROW_ROWS = 8.6, 3.9
"""Width and height in inches; a phone gets the narrow plots, since the text of a wide one would be tiny there."""


@dataclass(frozen=True)
class Plot:
    """The same plot as two `<svg>` elements."""

    wide: str
    narrow: str


@dataclass(frozen=True)
class Plots:
    """What could be drawn."""

    pareto: Plot | None
    """None without both accuracies and latencies."""

    is_level: bool
    """Whether all files are as accurate, so that it shows latency alone."""

    front: tuple[str, ...]
    """Files on the Pareto front, fastest first."""

    training: Plot | None
    """None if nothing was trained in this run."""

    ladder: Plot | None
    """None if nothing was quantized, or no integer file ran."""

    sensitivity: Plot | None
    """None if it was not measured."""


def draw_plots(sources: Sources, rows: Sequence[Row], png: Path) -> Plots:
    """Draw what there is data for, and write the Pareto plot to `png` as well."""
    names, drawn = short_names(rows), [row for row in rows if row.proof and row.bench]
    points = [_point(row, names[row.file]) for row in drawn]
    verify = sources.verify
    curves = {"student" if sources.teacher else "model": sources.student_epochs, "teacher": sources.teacher_epochs}
    trained = {name: epochs for name, epochs in curves.items() if epochs}
    with house_style():
        return Plots(
            pareto=_pareto(points, verify, png) if points and verify else None,
            is_level=_are_level(points),
            front=tuple(drawn[i].file for i in front_of(points)),
            training=_training(trained) if sources.student_epochs else None,
            ladder=_ladder(sources.quantize) if sources.quantize else None,
            sensitivity=_sensitivity(sources.quantize) if sources.quantize else None,
        )


def _pareto(points: Sequence[PlotPoint], verify: dict[str, Any], png: Path) -> Plot:
    tooltips = {point_id(i): _tooltip(point, verify["test_images"]) for i, point in enumerate(points)}
    if _are_level(points):
        height = rows_height(len(points))
        sizes, description = ((_WIDE_ROWS, height), (_NARROW_ROWS, height)), "Latency of every artifact"
    else:
        sizes, description = (_WIDE_PARETO, _NARROW_PARETO), "Accuracy against latency of every artifact"

    def draw(size: _Size) -> Figure:
        if _are_level(points):
            return latency_figure(points, size)
        return accuracy_latency_figure(points, verify["reference"]["top1"], size)

    save_png(draw(sizes[0]), png)
    return _both(draw, sizes, "pareto", description, tooltips)


def _are_level(points: Sequence[PlotPoint]) -> bool:
    """Whether all are as accurate, so that only latency tells them apart."""
    return len(points) > 1 and len({point.top1 for point in points}) == 1


def _training(curves: dict[str, list[dict[str, Any]]]) -> Plot:
    def draw(size: _Size) -> Figure:
        return training_figure(curves, size)

    return _both(
        draw, (_WIDE_TRAINING, _NARROW_TRAINING), "training", "Validation top-1 and training loss by epoch", {}
    )


def _ladder(receipt: dict[str, Any]) -> Plot | None:
    attempts = [each for each in receipt["attempts"] if each["measured"]]
    if not attempts:
        return None
    height = rows_height(len(attempts))

    def draw(size: _Size) -> Figure:
        return ladder_figure(attempts, receipt["limits"]["max_flips"], size)

    sizes = ((_WIDE_ROWS, height), (_NARROW_ROWS, height))
    return _both(draw, sizes, "ladder", "Answers that change on each rung of the ladder", {})


def _sensitivity(receipt: dict[str, Any]) -> Plot | None:
    units = receipt["sensitivity"]
    if not units:
        return None
    height = rows_height(min(len(units), LARGEST_CHART))

    def draw(size: _Size) -> Figure:
        return sensitivity_figure(units, size)

    sizes = ((_WIDE_ROWS, height), (_NARROW_ROWS, height))
    return _both(draw, sizes, "sensitivity", "The roundings that cost most", {})


def _both(
    draw: Callable[[_Size], Figure], sizes: tuple[_Size, _Size], name: str, description: str, tooltips: dict[str, str]
) -> Plot:
    wide, narrow = (
        inline_svg(draw(size), f"{name}-{shape}", description, tooltips)
        for size, shape in zip(sizes, ("wide", "narrow"), strict=True)
    )
    return Plot(wide, narrow)


def _point(row: Row, name: str) -> PlotPoint:
    proof, bench = row.proof or {}, row.bench or {}
    times = bench["inference"]
    return PlotPoint(
        name=name,
        format=row.format,
        precision=row.precision,
        top1=proof["top1"],
        p50_ms=times["p50_ms"],
        p50_low_ms=times["p50_low_ms"],
        p50_high_ms=times["p50_high_ms"],
        passed=not row.failed,
    )


def _tooltip(point: PlotPoint, images: int) -> str:
    interval = f"{milliseconds(point.p50_low_ms)} to {milliseconds(point.p50_high_ms)}"
    return f"{point.name}: top-1 {accuracy(point.top1, images)}, median {milliseconds(point.p50_ms)} ({interval})"
