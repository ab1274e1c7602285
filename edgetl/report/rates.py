"""The plot of a learning-rate range test."""

import io
from collections.abc import Sequence

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from edgetl.report.drawing import house_style, new_figure
from edgetl.report.palette import LIGHT

__all__ = ["rates_svg"]

_SIZE_INCHES = (7.0, 3.6)
_HEADROOM = 1.4
"""Of the loss over the range of the smoothed one, above which single steps are cut off."""


def rates_svg(
    rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float], suggested: float | None
) -> str:
    """Draw the loss over the rate as an SVG file; the same numbers give the same bytes.

    Args:
        rates: Rising.
        losses: Loss of each step, without what makes one batch harder than another; may be below zero.
        smoothed: The same, smoothed.
        suggested: Marked, if there is one.
    """
    buffer = io.StringIO()
    with house_style(), matplotlib.rc_context({"svg.hashsalt": "find-rate"}):
        figure = _figure(rates, losses, smoothed, suggested)
        figure.savefig(buffer, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _figure(
    rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float], suggested: float | None
) -> Figure:
    figure = new_figure(*_SIZE_INCHES)
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.plot(rates, losses, color=LIGHT["muted"], linewidth=0.8, alpha=0.6, label="each step")
    axes.plot(rates, smoothed, color=LIGHT["student"], linewidth=1.8, label="smoothed")
    low, high = min(*losses, *smoothed), max(smoothed)
    axes.set_ylim(low - 0.05 * (high - low), low + _HEADROOM * max(high - low, 1e-6))
    if suggested is not None:
        axes.axvline(suggested, color=LIGHT["accent"], linewidth=1.2, linestyle=(0, (4, 2)))
        axes.annotate(
            f" {suggested:.2g}", (suggested, 1.0), xycoords=("data", "axes fraction"), va="top", color=LIGHT["accent"]
        )
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("Learning rate")
    axes.set_ylabel("Training loss, less what makes a batch hard")
    axes.legend(loc="lower left")
    figure.tight_layout()
    return figure
