"""Training curves: validation top-1 and loss by epoch, of teacher and student."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from edgetl.report.drawing import new_figure
from edgetl.report.palette import LIGHT

__all__ = ["training_figure"]

_LINES: dict[str, tuple[str, Any]] = {
    "model": (LIGHT["student"], "-"),
    "student": (LIGHT["student"], "-"),
    "teacher": (LIGHT["teacher"], (0, (4, 1.5))),
}


def training_figure(curves: Mapping[str, Sequence[dict[str, Any]]], size_inches: tuple[float, float]) -> Figure:
    """Draw the curves: side by side on a wide figure, one above the other on a narrow one.

    Args:
        curves: By `student`, `teacher` or, if it learned from labels alone, `model`; one entry per epoch, with `epoch`,
            `loss` and, where it was judged, `val_top1` (fraction of 1). A dot marks an earlier epoch that was kept.
        size_inches: Width and height.
    """
    width, height = size_inches
    figure = new_figure(width, height)
    wide = width > height
    for column, (key, title, scale) in enumerate(
        (("val_top1", "Top-1 on the validation split, %", 100.0), ("loss", "Training loss", 1.0))
    ):
        axes = figure.add_subplot(1 if wide else 2, 2 if wide else 1, column + 1)
        _draw(axes, curves, key, scale)
        axes.set_title(title)
        axes.set_xlabel("Epoch")
    figure.subplots_adjust(
        left=0.5 / width,
        right=1 - 0.12 / width,
        bottom=0.45 / height,
        top=1 - 0.62 / height,
        wspace=0.18,
        hspace=0.42,
    )
    handles = [Line2D([], [], color=_LINES[n][0], linestyle=_LINES[n][1], linewidth=1.8, label=n) for n in curves]
    figure.legend(handles=handles, loc="upper left", ncol=2, columnspacing=1.6)
    return figure


def _draw(axes: Axes, curves: Mapping[str, Sequence[dict[str, Any]]], key: str, scale: float) -> None:
    for name, epochs in curves.items():
        colour, dashes = _LINES[name]
        known = [epoch for epoch in epochs if epoch.get(key) is not None]
        axes.plot(
            [epoch["epoch"] for epoch in known],
            [scale * epoch[key] for epoch in known],
            color=colour,
            linestyle=dashes,
            linewidth=1.8,
            # A single epoch makes no line.
            marker="o",
            markevery=[at for at, epoch in enumerate(known) if len(known) == 1 or _is_earlier(epoch, epochs)],
            markersize=5,
        )
    axes.grid(visible=False, axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _is_earlier(epoch: dict[str, Any], epochs: Sequence[dict[str, Any]]) -> bool:
    """Whether its weights were kept although it is not the last."""
    return bool(epoch.get("kept")) and epoch is not epochs[-1]
