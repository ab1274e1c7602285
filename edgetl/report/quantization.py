"""Figures of what quantization cost: answers that differ from float on each rung, and the roundings that cost most."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from edgetl.report.drawing import new_figure
from edgetl.report.palette import FORMAT_COLOURS, LIGHT
from edgetl.report.rows import FORMAT_NAMES

__all__ = ["LARGEST_CHART", "ladder_figure", "ladder_height", "sensitivity_figure", "sensitivity_height"]

LARGEST_CHART = 20
"""Largest number of bars in the chart; the table has every part."""

_ROW_INCHES, _FRAME_INCHES = 0.24, 0.75
_NAME_LETTERS = 44
_LETTER_INCHES = 0.068


def ladder_height(attempts: Sequence[dict[str, Any]]) -> float:
    """Height of the figure of these attempts, in inches."""
    return _FRAME_INCHES + _ROW_INCHES * len(attempts)


def ladder_figure(attempts: Sequence[dict[str, Any]], max_flips: float, size_inches: tuple[float, float]) -> Figure:
    """Draw the fraction of answers that differ from float, with its interval, one row for each attempt that ran.

    Args:
        attempts: Those of the receipt that were measured, in order.
        max_flips: The bound, as a fraction of 1; drawn where it is less than 1.
        size_inches: Width and height.
    """
    figure, axes = _rows([_attempt_name(each) for each in attempts], size_inches)
    for row, each in enumerate(attempts):
        found, colour = each["measured"], FORMAT_COLOURS[each["format"]]
        low, middle, high = (100 * found[key] for key in ("flips_low", "flips", "flips_high"))
        axes.plot([low, high], [row, row], color=colour, linewidth=1.6, solid_capstyle="butt")
        face = colour if each["passed"] else "white"
        axes.plot(middle, row, "o", color=colour, markerfacecolor=face, markersize=6, clip_on=False, zorder=3)
    if max_flips < 1:
        axes.axvline(100 * max_flips, color=LIGHT["muted"], linewidth=1, linestyle=(0, (4, 2)))
    axes.set_xlim(left=0)
    axes.set_xlabel("Answers that differ from float, %")
    return figure


def sensitivity_height(units: Sequence[dict[str, Any]]) -> float:
    """Height of the chart of these units, in inches."""
    return _FRAME_INCHES + _ROW_INCHES * min(len(units), LARGEST_CHART)


def sensitivity_figure(units: Sequence[dict[str, Any]], size_inches: tuple[float, float]) -> Figure:
    """Draw the signal-to-noise ratio of the logits when one part alone is rounded, the noisiest first.

    Args:
        units: Entries of the receipt's sensitivity.
        size_inches: Width and height.
    """
    worst = sorted(units, key=lambda each: each["alone"]["sqnr_db"])[:LARGEST_CHART]
    figure, axes = _rows([each["name"] for each in worst], size_inches)
    axes.barh(range(len(worst)), [each["alone"]["sqnr_db"] for each in worst], height=0.62, color=LIGHT["accent"])
    axes.set_xlabel("SNR of the logits, only this part rounded, dB (lower is worse)")
    return figure


def _attempt_name(attempt: dict[str, Any]) -> str:
    return f"{FORMAT_NAMES[attempt['format']]} {attempt['precision']}, {attempt['rung']}"


def _rows(names: Sequence[str], size_inches: tuple[float, float]) -> tuple[Figure, Axes]:
    """Axes with one named row for each name, from the top."""
    width, height = size_inches
    figure = new_figure(width, height)
    short = [name if len(name) <= _NAME_LETTERS else f"…{name[1 - _NAME_LETTERS :]}" for name in names]
    axes = figure.add_subplot()
    left = min(max(map(len, short), default=0) * _LETTER_INCHES + 0.15, width / 2)
    figure.subplots_adjust(left=left / width, right=1 - 0.15 / width, bottom=0.5 / height, top=1 - 0.12 / height)
    axes.set_yticks(range(len(short)), short)
    axes.set_ylim(len(short) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    return figure, axes
