"""The report stage: one page that opens anywhere, and its plot as a picture."""

from edgetl.report.page import render_page
from edgetl.report.plots import draw_plots
from edgetl.report.rows import artifact_rows
from edgetl.report.sources import read_sources
from edgetl.runs.stage import StageContext, StageResult

__all__ = ["PAGE_FILE", "PLOT_FILE", "run"]

PAGE_FILE = "report.html"
PLOT_FILE = "pareto.png"


def run(context: StageContext) -> StageResult:
    """Write `report.html` and, once there are latencies, `pareto.png`, from what the run folder holds."""
    sources = read_sources(context)
    rows = artifact_rows(sources)
    with context.reporter.library("drawing"):
        plots = draw_plots(sources, rows, context.out / PLOT_FILE)
    page = render_page(context, sources, rows, plots)
    # A file name that is not valid Unicode must not keep the page from being written.
    (context.out / PAGE_FILE).write_bytes(page.encode("utf-8", "xmlcharrefreplace"))
    return StageResult()
