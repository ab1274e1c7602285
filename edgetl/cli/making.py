"""Verbs that make a run: run, distill, finetune."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgetl.cli import options
from edgetl.cli.app import verb
from edgetl.cli.flags import asked_recipe, recipe_fields
from edgetl.cli.session import print_plan_and_recipe, session, show, show_forecast, show_rate, show_stages

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgetl.chain.plan import PlannedRun
    from edgetl.recipe.fields import Recipe

__all__ = ["distill", "finetune", "run"]


@verb("edgetl run photos --target rpi4")
def run(
    what: options.What = None,
    data: options.Data = None,
    teacher: options.Teacher = None,
    student: options.Student = None,
    weights: options.Weights = None,
    preset: options.Preset = None,
    loss: options.Loss = None,
    unlabelled: options.Unlabelled = None,
    control: options.Control = False,
    prune: options.Prune = None,
    time: options.Time = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    target: options.Target = None,
    formats: options.Formats = None,
    out: options.Out = None,
    seed: options.Seed = None,
    settings: options.Set = None,
    first: Annotated[str | None, typer.Option("--from", metavar="STAGE", help="First stage to run.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="STAGE", help="Last stage to run.")] = None,
    print_config: options.PrintConfig = False,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Run the whole chain: data, finetune, distill, control (if asked), export, quantize, verify, bench, report.

    Stages whose inputs have not changed are skipped, so an interrupted run continues where it stopped.
    """
    from edgetl.chain.plan import selection

    flags = recipe_fields(
        data=data, teacher=teacher, student=student, weights=weights, target=target, formats=formats, seed=seed,
        preset=preset, loss=loss, unlabelled=unlabelled, control=control, prune=prune, time=time,
        epochs=epochs, batch_size=batch_size,
    )  # fmt: skip
    asked = asked_recipe(what, flags, settings)
    _make_student(asked, out, selection(first, last), _Way(json, quiet, print_config, dry_run, force))


@verb("edgetl distill --teacher resnet50 --student mobilenetv2 --data photos")
def distill(
    what: options.What = None,
    data: options.Data = None,
    teacher: options.Teacher = None,
    student: options.Student = None,
    weights: options.Weights = None,
    preset: options.Preset = None,
    loss: options.Loss = None,
    unlabelled: options.Unlabelled = None,
    control: options.Control = False,
    prune: options.Prune = None,
    time: options.Time = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    out: options.Out = None,
    seed: options.Seed = None,
    settings: options.Set = None,
    print_config: options.PrintConfig = False,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Train a small student on a teacher's answers.

    A teacher given by name is fine-tuned first on the same data; one given as a run folder is used as it is.

    Under 'torchrun' (or 'accelerate launch' on GPUs) many processes share the work.
    """
    flags = recipe_fields(
        data=data, teacher=teacher, student=student, weights=weights, seed=seed,
        preset=preset, loss=loss, unlabelled=unlabelled, control=control, prune=prune, time=time,
        epochs=epochs, batch_size=batch_size,
    )  # fmt: skip
    asked = asked_recipe(what, flags, settings)
    stages = ("data", "finetune", "distill", "control")
    _make_student(asked, out, stages, _Way(json, quiet, print_config, dry_run, force))


@verb("edgetl finetune --model resnet50 --data photos")
def finetune(
    what: options.What = None,
    model: options.Model = None,
    data: options.Data = None,
    weights: options.Weights = None,
    strategy: options.Strategy = None,
    time: options.Time = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    list_stages: Annotated[
        bool, typer.Option("--list-stages", help="Print the network's stages, any of which 'partial' can start at.")
    ] = False,
    find_rate: Annotated[
        bool, typer.Option("--find-rate", help="Suggest a learning rate by a short range test, and train nothing.")
    ] = False,
    out: options.Out = None,
    seed: options.Seed = None,
    settings: options.Set = None,
    print_config: options.PrintConfig = False,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Fine-tune one model on your images, to be a teacher or to be exported as it is."""
    from edgetl.chain.api import default_out
    from edgetl.chain.plan import plan_finetuning

    flags = recipe_fields(
        section="teacher", data=data, teacher=model, teacher_weights=weights, strategy=strategy, time=time, seed=seed,
        epochs=epochs, batch_size=batch_size,
    )  # fmt: skip
    asked = asked_recipe(what, flags, settings)
    if list_stages:
        show_stages(asked.teacher, asked.data.image_size if data or what else "auto", json)
        raise typer.Exit
    place = out or default_out(asked, asked.teacher.model)
    if find_rate:
        show_rate(asked, place, json, force)
        raise typer.Exit
    _make(lambda known: plan_finetuning(known, place), asked, place, _Way(json, quiet, print_config, dry_run, force))


@dataclass(frozen=True)
class _Way:
    """What is done with a plan, and what is shown."""

    json: bool
    quiet: bool
    print_config: bool
    dry_run: bool
    force: bool


def _make_student(asked: "Recipe", out: Path | None, stages: tuple[str, ...], way: _Way) -> None:
    from edgetl.chain.api import default_out
    from edgetl.chain.plan import plan

    place = out or default_out(asked, asked.student.model)
    _make(lambda known: plan(known, place, stages), asked, place, way)


def _make(plan_of: "Callable[[Recipe], tuple[PlannedRun, ...]]", asked: "Recipe", place: Path, way: _Way) -> None:
    """Print what would run, or run it."""
    from edgetl.chain.choosing import foreseen, settled
    from edgetl.chain.preflight import check
    from edgetl.chain.running import execute

    if way.print_config:
        print_plan_and_recipe(plan_of(asked), asked)
        raise typer.Exit
    with session(place, json=way.json, quiet=way.quiet) as reporter:
        planned = (foreseen if way.dry_run else settled)(asked, place, reporter, plan_of)
        check(planned, reporter, force=way.force)
        if way.dry_run:
            show_forecast(planned, reporter, way.json)
            raise typer.Exit
        folder = execute(planned, reporter)
    show(folder, way.json)
