"""One command: where its progress goes, how it ends, and what it shows."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgetl.errors import ProofFailed, ProofUndecided

if TYPE_CHECKING:
    from edgetl.chain.plan import PlannedRun
    from edgetl.recipe.fields import Recipe
    from edgetl.recipe.networks import TeacherConfig
    from edgetl.runs.folder import RunFolder
    from edgetl.runs.reporter import Reporter

__all__ = ["print_plan_and_recipe", "session", "show", "show_forecast", "show_rate", "show_stages"]

_INTERRUPTED = 130
_CLASSES = 2  # of a network whose stages are listed; they are the same for any number


@contextmanager
def session(place: Path, *, json: bool, quiet: bool = False) -> "Iterator[Reporter]":
    """Provide a reporter. If the proof fails, show the run before the error; on Ctrl-C, say how to continue."""
    from edgetl.cli.terminal import TerminalReporter
    from edgetl.runs.folder import RunFolder
    from edgetl.runs.processes import launched
    from edgetl.runs.reporter import Reporter

    reporter = TerminalReporter() if launched().first and not quiet else Reporter()
    try:
        yield reporter
    except (ProofFailed, ProofUndecided):
        show(RunFolder.open(place), json)
        raise
    except KeyboardInterrupt:
        print("\nedgetl: interrupted. Run the same command again to continue where it stopped.", file=sys.stderr)
        raise typer.Exit(_INTERRUPTED) from None
    finally:
        reporter.close()


def show(folder: "RunFolder", json: bool, *, report: str | None = None) -> None:
    """Show a run's results, or one stage's report."""
    from edgetl.cli.answers import answer_of
    from edgetl.cli.results import print_explanation, print_run
    from edgetl.cli.terminal import print_json
    from edgetl.runs.processes import launched

    if not launched().first:
        return
    if report and json:
        print_json({"run": str(folder.path), **folder.read_json(report)})
    elif report:
        print_explanation(folder, folder.read_json(report))
    elif json:
        print_json(answer_of(folder))
    else:
        print_run(folder)


def print_plan_and_recipe(planned: "Sequence[PlannedRun]", recipe: "Recipe") -> None:
    """Print the recipe that would run, after comments that list the runs it would make."""
    from edgetl.recipe.template import recipe_template

    for run in planned:
        made = ", ".join(run.stages) if run.stages else "taken as it is"
        print(f"# {run.folder}: {run.role}, {run.network.model}: {made}")
    print(recipe_template(recipe), end="")


def show_forecast(planned: "Sequence[PlannedRun]", reporter: "Reporter", json: bool) -> None:
    """Show what would run, what is current, and how long it may take."""
    from edgetl.chain.forecast import forecast
    from edgetl.cli.results import print_forecast
    from edgetl.cli.terminal import print_json

    found = forecast(planned, reporter)
    if json:
        print_json({"forecast": [each.to_dict() for each in found]})
    else:
        print_forecast(found)


def show_rate(asked: "Recipe", place: Path, json: bool, force: bool) -> None:
    """Test learning rates, and show which one is suggested and how to use it."""
    from edgetl.chain.finding import RATES_PLOT, run_find_rate
    from edgetl.cli.terminal import print_json

    with session(place, json=json) as reporter:
        found = run_find_rate(asked, place, reporter, force=force)
    if json:
        print_json({"run": str(place), **found})
    elif found["suggested"] is None:
        print(f"No learning rate is suggested: {found['reason']}. Plot: {place / RATES_PLOT}")
    else:
        print(f"Suggested learning rate: {found['suggested']:.2g}, {found['reason']}. Plot: {place / RATES_PLOT}")
        print(f"Use it with --set teacher.learning_rate={found['suggested']:.2g}")


def show_stages(config: "TeacherConfig", image_size: int | str, json: bool) -> None:
    """List the stages of a network, from its input to its head."""
    from edgetl.cli.results import print_stages
    from edgetl.cli.terminal import print_json
    from edgetl.zoo.build import build_classifier, native_input
    from edgetl.zoo.stages import stages_of

    size = native_input(config).native_size if image_size == "auto" else int(image_size)
    plain = config.model_copy(update={"weights": "none", "small_images": "keep"})
    classifier, _ = build_classifier(plain, _CLASSES, size, seed=0)
    stages = stages_of(classifier, _CLASSES, size)
    if json:
        print_json({"stages": [asdict(stage) for stage in stages]})
    else:
        print_stages(stages)
