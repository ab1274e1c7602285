"""Figures of what quantization cost: answers that differ from float on each rung, and the roundings that cost most."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from edgetl.report.drawing import row_axes
from edgetl.report.palette import FORMAT_COLOURS, LIGHT
from edgetl.report.rows import FORMAT_NAMES

__all__ = ["LARGEST_CHART", "ladder_figure", "sensitivity_figure"]

LARGEST_CHART = 20
"""Largest number of bars in the chart; the table has every part."""


def ladder_figure(attempts: Sequence[dict[str, Any]], max_flips: float, size_inches: tuple[float, float]) -> Figure:
    """Draw the fraction of answers that differ from float, with its interval, one row for each attempt that ran.

    Args:
        attempts: Those of the receipt that were measured, in order.
        max_flips: The bound, as a fraction of 1; drawn where it is less than 1.
        size_inches: Width and height.
    """
    figure, axes = row_axes([_attempt_name(each) for each in attempts], size_inches)
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


def sensitivity_figure(units: Sequence[dict[str, Any]], size_inches: tuple[float, float]) -> Figure:
    """Draw the signal-to-noise ratio of the logits when one part alone is rounded, the noisiest first.

    Args:
        units: Entries of the receipt's sensitivity.
        size_inches: Width and height.
    """
    worst = sorted(units, key=lambda each: each["alone"]["sqnr_db"])[:LARGEST_CHART]
    figure, axes = row_axes([each["name"] for each in worst], size_inches)
    axes.barh(range(len(worst)), [each["alone"]["sqnr_db"] for each in worst], height=0.62, color=LIGHT["accent"])
    axes.set_xlabel("SNR of the logits, only this part rounded, dB (lower is worse)")
    return figure


def _attempt_name(attempt: dict[str, Any]) -> str:
    return f"{FORMAT_NAMES[attempt['format']]} {attempt['precision']}, {attempt['rung']}"
