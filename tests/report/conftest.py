"""The report of a run folder that is made up."""

from collections.abc import Callable
from pathlib import Path

import pytest
import report_context

from edgetl.report.stage import run
from edgetl.runs.stage import StageContext

MakeRun = Callable[..., StageContext]
Page = Callable[[StageContext], str]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Write a run folder, less the files in `without`, and give the context of its report."""

    def make(labels: tuple[str, ...] = ("cat", "dog"), without: tuple[str, ...] = ()) -> StageContext:
        return report_context.made(tmp_path, labels, without)

    return make


@pytest.fixture
def page_of() -> Page:
    """Run the report stage and read its page."""

    def make(context: StageContext) -> str:
        run(context)
        return (context.out / "report.html").read_text(encoding="utf-8")

    return make
