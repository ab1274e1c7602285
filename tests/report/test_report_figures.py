import re
from xml.etree import ElementTree

import matplotlib
import pytest

from edgetl.recipe.fields import FORMATS
from edgetl.report.drawing import house_style, inline_svg
from edgetl.report.figures import PlotPoint, accuracy_latency_figure, front_of, point_id
from edgetl.report.palette import DARK, FORMAT_COLOURS, LIGHT
from edgetl.report.rows import FORMAT_NAMES


def point(name="ONNX fp32", *, top1=0.9, p50_ms=1.0, passed=True, precision="fp32", format_name="onnx"):
    return PlotPoint(name, format_name, precision, top1, p50_ms, p50_ms * 0.98, p50_ms * 1.02, passed)


def draw(points, name="plot", tooltips=None):
    with house_style():
        return inline_svg(accuracy_latency_figure(points, 0.9, (8.6, 4.6)), name, "described", tooltips or {})


def test_every_format_has_a_name_and_a_colour_of_its_own():
    assert set(FORMAT_COLOURS) == set(FORMAT_NAMES) == set(FORMATS)
    assert len(set(LIGHT.values())) == len(LIGHT)
    assert set(LIGHT) == set(DARK)


def test_an_artifact_that_failed_its_proof_is_never_on_the_front():
    points = [point(p50_ms=2.0), point("broken", p50_ms=1.0, passed=False)]
    assert front_of(points) == [0]
    assert "broken (failed)" in draw(points)


def test_the_figure_follows_the_theme_and_has_no_colour_of_its_own():
    svg = draw([point(), point("ONNX w8a8", p50_ms=0.5, precision="w8a8")])
    assert "var(--onnx)" in svg
    assert not re.search(r"#[0-9a-f]{6}\b", svg)


def test_the_same_figure_gives_the_same_bytes_whatever_the_users_settings():
    first = draw([point()])
    with matplotlib.rc_context({"font.size": 30, "axes.labelsize": 30, "axes.grid": False}):
        assert draw([point()]) == first
        assert matplotlib.rcParams["font.size"] == 30


def test_two_figures_on_a_page_share_no_id():
    ids = [set(re.findall(r' id="([^"]+)"', draw([point()], name))) for name in ("a", "b")]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_references_inside_the_figure_lead_somewhere():
    svg = draw([point(), point("other", p50_ms=3.0)])
    wanted = set(re.findall(r'href="#([^"]+)"', svg)) | set(re.findall(r"url\(#([^)]+)\)", svg))
    assert wanted
    assert wanted <= set(re.findall(r' id="([^"]+)"', svg))


def test_a_point_has_a_tooltip_and_markup_in_names_stays_text():
    svg = draw([point("<script>alert(1)</script> $x$")], tooltips={point_id(0): "<b>1.23 ms</b>"})
    root = ElementTree.fromstring(svg)
    assert [e.text for e in root.iter("{http://www.w3.org/2000/svg}title")] == ["<b>1.23 ms</b>"]
    assert "<script" not in svg
    assert "$x$" in svg


@pytest.mark.parametrize("points", [[point()], [point(p50_ms=0.1 * 1.6**n, top1=0.3 + 0.03 * n) for n in range(20)]])
def test_one_point_and_twenty_over_a_wide_range_can_be_drawn(points):
    assert draw(points).count('id="plot-point-') == len(points)
