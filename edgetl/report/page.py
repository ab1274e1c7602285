"""The page: the view of a run that the template draws."""

from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from edgetl.bench.recommend import advice, use_of
from edgetl.data.index import read_index
from edgetl.errors import DataError
from edgetl.recipe.fields import Recipe
from edgetl.recipe.template import recipe_template
from edgetl.report import making, words
from edgetl.report.making import recipe_made_from
from edgetl.report.palette import DARK, LIGHT
from edgetl.report.pictures import Gallery, sample_gallery
from edgetl.report.plots import Plots
from edgetl.report.quantization import LARGEST_CHART
from edgetl.report.rows import FORMAT_NAMES, Row, short_names
from edgetl.report.sources import Sources
from edgetl.report.summary import about_files, about_network, headline_tiles, student_name, teacher_name
from edgetl.runner.contract import UnreadableImage
from edgetl.runs.stage import StageContext

__all__ = ["render_page"]


def render_page(context: StageContext, sources: Sources, rows: Sequence[Row], plots: Plots) -> str:
    """Make the page's HTML, all text escaped; nothing in it is loaded from elsewhere."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": words.percent,
        "accuracy": words.accuracy,
        "accuracy_range": words.accuracy_range,
        "points": words.points,
        "milliseconds": words.milliseconds,
        "file_size": words.file_size,
        "difference": words.probability_difference,
        "seconds": words.seconds,
        # Only for the figures, whose text was escaped when they were written as XML.
        "svg": Markup,
    }
    return environment.get_template("report.html.j2").render(_view(context, sources, rows, plots))


def _view(context: StageContext, sources: Sources, rows: Sequence[Row], plots: Plots) -> dict[str, Any]:
    manifest, made_from = context.folder.manifest, recipe_made_from(context.folder)
    gallery, no_gallery = _gallery(context, sources, rows)
    files = about_files(sources, rows, made_from, context.folder.path.name)
    return {
        "light": LIGHT,
        "dark": DARK,
        "student": student_name(context),
        "teacher": teacher_name(context),
        "run": context.folder.path.name,
        "data": PurePath(made_from.data.path).name,
        "finished": making.last_finished(manifest),
        "target": context.target,
        "ship": advice(sources.verify or {}, sources.bench or {}),
        "use": use_of(Path(context.folder.path.name), sources.verify or {}, sources.bench or {}),
        "found": sorted(
            [each for each in (about_network(sources), files) if each], key=lambda each: each.state != "bad"
        ),
        "files_word": files.word,
        "tiles": headline_tiles(context, sources, rows),
        "plots": plots,
        "rows": rows,
        "format_names": FORMAT_NAMES,
        "verify": sources.verify,
        "bench": sources.bench,
        "quantize": sources.quantize,
        "largest_chart": LARGEST_CHART,
        "explain": sources.explain,
        "control": sources.control.sentence() if sources.control else "",
        "threads": sorted({row.bench["threads"] for row in rows if row.bench}),
        "slowest_ms": max((row.bench["inference"]["p50_ms"] for row in rows if row.bench), default=0.0),
        "largest_bytes": max((row.bench["size_bytes"] for row in rows if row.bench), default=0),
        "gallery": gallery,
        "no_gallery": no_gallery,
        **_making(context, sources, made_from),
    }


def _gallery(context: StageContext, sources: Sources, rows: Sequence[Row]) -> tuple[Gallery | None, str]:
    """The pictures, or why there are none."""
    if sources.predictions is None:
        return None, f"There are no predictions yet. Run: edgetl verify {context.folder.path.name}"
    names = short_names(rows)
    quantized = {row.file: names[row.file] for row in rows if not row.is_exact}
    try:
        return sample_gallery(read_index(context.folder), sources.predictions, quantized), ""
    except (DataError, UnreadableImage) as cause:
        # The numbers are valid without the pictures, and the page says why the pictures are missing.
        return None, str(cause)


def _making(context: StageContext, sources: Sources, made_from: Recipe) -> dict[str, Any]:
    manifest = context.folder.manifest
    others = (("teacher: ", sources.teacher), ("unpruned: ", sources.unpruned))
    earlier = [stage for prefix, run in others if run for stage in making.stages_of(run.manifest, prefix)]
    return {
        "recipe": recipe_template(made_from, of=context.folder.recipe_values()),
        "contract": context.contract,
        "contract_steps": making.contract_steps(context.contract),
        "model": making.facts_of(manifest.get("model", {})),
        "lineage": making.facts_of(manifest.get("lineage", {})),
        "versions": making.versions_of(manifest),
        "files": making.files_of(manifest),
        "pruning": making.pruning(sources.prune) if sources.prune else "",
        "stages": [*earlier, *making.stages_of(manifest)],
    }
