"""Accuracy against latency: one point per artifact, and the Pareto front."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from edgetl.report.drawing import new_figure, row_axes
from edgetl.report.labels import Box, Placed, place_labels
from edgetl.report.palette import FORMAT_COLOURS, LIGHT
from edgetl.report.pareto import pareto_front

__all__ = ["PlotPoint", "accuracy_latency_figure", "front_of", "latency_figure", "point_id"]

_MARKERS = {"fp32": "o", "w8a8": "D", "fp16": "s", "w8": "^", "dynamic": "v"}
_LEAST_SPAN_PERCENT = 1.0
"""Smallest height of the plot, in percentage points: with less, the noise of a few images would look large."""

_LOGARITHMIC_FROM = 6.0
"""Ratio of the slowest to the fastest above which latency is drawn on a logarithmic axis."""

_LEADER_FROM = 20.0
"""Distance of a label from its point, in points, above which a line joins the two."""


@dataclass(frozen=True)
class PlotPoint:
    """An artifact in the plot."""

    name: str
    format: str
    precision: str
    top1: float
    p50_ms: float
    p50_low_ms: float
    p50_high_ms: float
    passed: bool
    """Whether its proof passed; an artifact that failed is drawn hollow and is never on the front."""


def point_id(index: int) -> str:
    """The `gid` of a point, for its tooltip."""
    return f"point-{index}"


def front_of(points: Sequence[PlotPoint]) -> list[int]:
    """Indices of the proven artifacts that no other proven one beats in both speed and accuracy, fastest first."""
    proven = [i for i, point in enumerate(points) if point.passed]
    return [proven[k] for k in pareto_front([(points[i].p50_ms, points[i].top1) for i in proven])]


def accuracy_latency_figure(
    points: Sequence[PlotPoint], reference_top1: float, size_inches: tuple[float, float]
) -> Figure:
    """Draw top-1 in percent over the median latency in milliseconds.

    Args:
        points: At least one artifact.
        reference_top1: Top-1 of the trained network in PyTorch, as a fraction of 1; drawn as a line.
        size_inches: Width and height.
    """
    width, height = size_inches
    figure = new_figure(width, height)
    columns = 4 if width > 5 else 2
    top = 0.38 if columns == 4 else 0.55
    axes = figure.add_axes((0.62 / width, 0.5 / height, 1 - 0.76 / width, 1 - (0.5 + top) / height))
    _scale(axes, points, reference_top1)
    axes.axhline(100 * reference_top1, color=LIGHT["muted"], linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
    _draw_front(axes, _staircase(axes, points))
    for index, point in enumerate(points):
        _draw_point(axes, point, point_id(index))
    _draw_labels(axes, points, _obstacles(axes, points, reference_top1))
    figure.legend(
        handles=_legend(points), loc="upper left", ncol=columns, borderaxespad=0.4, handletextpad=0.5, columnspacing=1.6
    )
    return figure


def latency_figure(points: Sequence[PlotPoint], size_inches: tuple[float, float]) -> Figure:
    """Draw the median latency in milliseconds alone, the fastest artifact first.

    Args:
        points: At least one artifact; all have the same accuracy.
        size_inches: Width and height.
    """
    order = sorted(range(len(points)), key=lambda i: points[i].p50_ms)
    figure, axes = row_axes([points[i].name for i in order], size_inches)
    for row, index in enumerate(order):
        point, colour = points[index], FORMAT_COLOURS[points[index].format]
        face = colour if point.passed else LIGHT["card"]
        axes.barh(row, point.p50_ms, height=0.62, color=face, edgecolor=colour, gid=point_id(index))
        axes.plot([point.p50_low_ms, point.p50_high_ms], [row, row], color=LIGHT["ink"], linewidth=1.2)
        axes.annotate(f"{point.p50_ms:.3g}", (point.p50_high_ms, row), (5, 0), textcoords="offset points", va="center")
    axes.set_xlim(0, 1.12 * max(point.p50_high_ms for point in points))
    axes.set_xlabel("Median latency of one image, ms")
    return figure


def _scale(axes: Axes, points: Sequence[PlotPoint], reference_top1: float) -> None:
    low_ms, high_ms = min(p.p50_low_ms for p in points), max(p.p50_high_ms for p in points)
    if high_ms > _LOGARITHMIC_FROM * low_ms:
        axes.set_xscale("log")
        axes.set_xlim(low_ms / 1.35, high_ms * 1.35)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        margin = max(0.18 * (high_ms - low_ms), 0.1 * high_ms)
        axes.set_xlim(max(0.0, low_ms - margin), high_ms + margin)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    _scale_accuracy(axes, [100 * p.top1 for p in points] + [100 * reference_top1])
    axes.set_xlabel("Median latency of one image, ms")
    axes.set_ylabel("Top-1 on the test split, %")
    axes.grid(visible=False, axis="x")


def _scale_accuracy(axes: Axes, values: Sequence[float]) -> None:
    span = max(max(values) - min(values), _LEAST_SPAN_PERCENT)
    middle = (max(values) + min(values)) / 2
    low, high = middle - 0.72 * span, middle + 0.72 * span
    ticks = [t for t in MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high) if low <= t <= min(high, 100)]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylim(low, high)


def _staircase(axes: Axes, points: Sequence[PlotPoint]) -> list[tuple[float, float]]:
    """The front's corners, in ms and percent: each point's accuracy extends to the right until a better point."""
    corners: list[tuple[float, float]] = []
    for point in (points[i] for i in front_of(points)):
        if corners:
            corners.append((point.p50_ms, corners[-1][1]))
        corners.append((point.p50_ms, 100 * point.top1))
    return [*corners, (axes.get_xlim()[1], corners[-1][1])] if corners else []


def _draw_front(axes: Axes, corners: Sequence[tuple[float, float]]) -> None:
    times_ms, tops = [x for x, _ in corners], [y for _, y in corners]
    axes.fill_between(times_ms, tops, axes.get_ylim()[0], color=LIGHT["accent"], alpha=0.06, linewidth=0)
    axes.plot(times_ms, tops, color=LIGHT["accent"], linewidth=1.2, alpha=0.75, zorder=2)


def _draw_point(axes: Axes, point: PlotPoint, gid: str) -> None:
    colour, top = FORMAT_COLOURS[point.format], 100 * point.top1
    axes.plot([point.p50_low_ms, point.p50_high_ms], [top, top], color=colour, linewidth=1.2, zorder=3)
    axes.plot(
        [point.p50_ms],
        [top],
        marker=_MARKERS[point.precision],
        markersize=7.5,
        color=colour if point.passed else LIGHT["card"],
        markeredgecolor=LIGHT["card"] if point.passed else colour,
        markeredgewidth=1.0,
        linestyle="none",
        zorder=4,
        gid=gid,
    )


def _obstacles(axes: Axes, points: Sequence[PlotPoint], reference_top1: float) -> list[Box]:
    """The lines that labels should not cover, as thin boxes in pixels of the figure."""
    reference = [(x, 100 * reference_top1) for x in axes.get_xlim()]
    corners = _staircase(axes, points)
    segments = [
        (reference[0], reference[1]),
        *pairwise(corners),
        *(((p.p50_low_ms, 100 * p.top1), (p.p50_high_ms, 100 * p.top1)) for p in points),
    ]
    boxes = []
    for segment in segments:
        (x0, y0), (x1, y1) = axes.transData.transform(sorted(segment))
        boxes.append((x0 - 1, min(y0, y1) - 1, x1 + 1, max(y0, y1) + 1))
    return boxes


def _draw_labels(axes: Axes, points: Sequence[PlotPoint], obstacles: Sequence[Box]) -> None:
    """Draw the labels that fit, those of the front first, since readers choose among its artifacts."""
    front = front_of(points)
    ordered = [points[i] for i in (*front, *(i for i in range(len(points)) if i not in front))]
    names = [point.name if point.passed else f"{point.name} (failed)" for point in ordered]
    sizes = [_text_size(axes, name) for name in names]
    anchors = [(float(x), float(y)) for x, y in axes.transData.transform([(p.p50_ms, 100 * p.top1) for p in ordered])]
    x0, y0, x1, y1 = axes.bbox.extents
    places = place_labels(anchors, sizes, (x0, y0, x1, y1), obstacles)
    for name, point, anchor, place in zip(names, ordered, anchors, places, strict=True):
        if place:
            _draw_label(axes, name, FORMAT_COLOURS[point.format], anchor, place)


def _text_size(axes: Axes, text: str) -> tuple[float, float]:
    probe = axes.text(0, 0, text)
    extent = probe.get_window_extent()
    probe.remove()
    return extent.width, extent.height


def _draw_label(axes: Axes, name: str, colour: str, anchor: tuple[float, float], place: Placed) -> None:
    """Align the text with the side of the box that faces the point, so that a narrower font leaves no gap."""
    left, bottom, right, top = place.box
    align = {1: "left", 0: "center", -1: "right"}[place.direction[0]]
    x = {1: left, 0: (left + right) / 2, -1: right}[place.direction[0]]
    leader = {"arrowstyle": "-", "color": LIGHT["muted"], "linewidth": 0.6, "shrinkA": 1, "shrinkB": 4}
    axes.annotate(
        name,
        xy=(anchor[0], anchor[1]),
        xycoords="figure points",
        xytext=(x, (bottom + top) / 2),
        textcoords="figure points",
        color=colour,
        ha=align,
        va="center",
        arrowprops=leader if place.distance > _LEADER_FROM else None,
        zorder=5,
    )


def _legend(points: Sequence[PlotPoint]) -> list[Line2D]:
    precisions = sorted({point.precision for point in points})
    marks = [
        Line2D([], [], linestyle="none", marker=_MARKERS[name], markersize=6, color=LIGHT["muted"], label=name)
        for name in precisions
    ]
    return [
        *marks,
        Line2D([], [], color=LIGHT["accent"], linewidth=1.4, label="Pareto front"),
        Line2D([], [], color=LIGHT["muted"], linewidth=0.9, linestyle=(0, (1, 2)), label="in PyTorch"),
    ]
