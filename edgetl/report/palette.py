"""Colours by role, for both themes; the page's CSS and the figures are made from these."""

from typing import TypedDict

__all__ = ["DARK", "FORMAT_COLOURS", "LIGHT", "Palette"]


class Palette(TypedDict):
    """One colour per role. All differ, so that a figure's colours can be turned back into roles."""

    page: str
    card: str
    ink: str
    muted: str
    line: str
    accent: str
    good: str
    bad: str
    onnx: str
    tflite: str
    openvino: str
    student: str
    teacher: str


# The formats' hues are Okabe and Ito's blue, vermilion and bluish green, which colour-blind readers can distinguish;
# their lightness is set so that each has a contrast of at least 3 against its theme's card.
LIGHT = Palette(
    page="#f5f6f8",
    card="#ffffff",
    ink="#1a2029",
    muted="#5b6673",
    line="#dce1e7",
    accent="#3457d5",
    good="#11734b",
    bad="#b3261e",
    onnx="#0072b2",
    tflite="#c85200",
    openvino="#00875a",
    student="#0b6fae",
    teacher="#8a5a9e",
)
DARK = Palette(
    page="#0f1318",
    card="#181e26",
    ink="#e7ebf0",
    muted="#9aa6b4",
    line="#2e3742",
    accent="#8ea6ff",
    good="#4cc38a",
    bad="#ff8a80",
    onnx="#56b4e9",
    tflite="#f0853c",
    openvino="#2cc295",
    student="#5ab5ea",
    teacher="#c79bd9",
)

FORMAT_COLOURS = {"onnx": LIGHT["onnx"], "tflite": LIGHT["tflite"], "openvino": LIGHT["openvino"]}
"""The colour of each format in the figures; `inline_svg` makes it follow the theme."""
