"""Turn a figure into a PNG, or an inline SVG that follows the page's theme; the same figure gives the same bytes."""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from edgetl.report.palette import LIGHT

__all__ = ["house_style", "inline_svg", "new_figure", "row_axes", "rows_height", "save_png"]

_ROW_INCHES, _FRAME_INCHES = 0.24, 0.75
_NAME_LETTERS = 44
_LETTER_INCHES = 0.068

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "{http://www.w3.org/1999/xlink}href"
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_ROLES = {colour: f"var(--{role})" for role, colour in LIGHT.items()}
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.color": LIGHT["ink"],
    "text.parse_math": False,
    "axes.edgecolor": LIGHT["line"],
    "axes.labelcolor": LIGHT["muted"],
    "axes.titlecolor": LIGHT["ink"],
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "grid.color": LIGHT["line"],
    "grid.linewidth": 0.6,
    "xtick.color": LIGHT["muted"],
    "ytick.color": LIGHT["muted"],
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "svg.fonttype": "none",
}


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the report's style, whatever the user's own matplotlib settings are; those are restored afterwards."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def new_figure(width_inches: float, height_inches: float) -> Figure:
    """A figure that can measure text; one pixel is one point (1/72 inch), as in an SVG."""
    figure = Figure(figsize=(width_inches, height_inches), dpi=72)
    FigureCanvasAgg(figure)
    return figure


def save_png(figure: Figure, path: Path) -> None:
    """Write the figure on opaque white, 160 dots per inch."""
    figure.savefig(path, format="png", dpi=160, facecolor="white", metadata={"Software": None})


def inline_svg(figure: Figure, name: str, description: str, tooltips: dict[str, str]) -> str:
    """Write the figure as an `<svg>` element for a page.

    Colours of the palette become its CSS variables, so that the figure follows the theme; text stays text.

    Args:
        figure: What to draw.
        name: Prefix of all its ids, so that several figures fit on one page.
        description: Text for readers who do not see the figure.
        tooltips: Text by the `gid` of its element.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg")
    root = ElementTree.fromstring(buffer.getvalue())
    _strip(root)
    for element in root.iter():
        _adapt(element, name)
        if tooltip := tooltips.get(element.get("id", "").removeprefix(f"{name}-")):
            title = ElementTree.Element(f"{{{_SVG}}}title")
            title.text = tooltip
            element.insert(0, title)
    root.attrib.update({"role": "img", "aria-label": description, "class": "plot"})
    ElementTree.register_namespace("", _SVG)
    return ElementTree.tostring(root, encoding="unicode")


def _strip(root: ElementTree.Element) -> None:
    """Remove the fixed size, the date, and the style sheet, which would apply to the whole page."""
    for attribute in ("width", "height", "version"):
        del root.attrib[attribute]
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.removeprefix(f"{{{_SVG}}}") in {"metadata", "style"}:
                parent.remove(child)


def _adapt(element: ElementTree.Element, name: str) -> None:
    if "id" in element.attrib:
        element.set("id", f"{name}-{element.get('id')}")
    if reference := element.attrib.pop(_XLINK, None):
        element.set("href", f"#{name}-{reference.removeprefix('#')}")
    for attribute in ("style", "clip-path"):
        if value := element.get(attribute):
            value = _REFERENCE.sub(rf"url(#{name}-\1)", value)
            element.set(attribute, _COLOUR.sub(lambda found: _ROLES.get(found[0], found[0]), value))


def rows_height(count: int) -> float:
    """Height of a figure with so many rows, in inches."""
    return _FRAME_INCHES + _ROW_INCHES * count


def row_axes(names: Sequence[str], size_inches: tuple[float, float]) -> tuple[Figure, Axes]:
    """Make a figure, and axes with one named row for each name, from the top."""
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
