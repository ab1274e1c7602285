"""Verbs on an existing run: export, quantize, verify, bench, explain, report."""

from pathlib import Path
from typing import Annotated, Any

import typer

from edgetl.cli import options
from edgetl.cli.app import app
from edgetl.cli.flags import recipe_fields
from edgetl.cli.session import session, show

__all__ = ["bench", "explain", "export", "quantize", "report", "verify"]


@app.command(epilog="Example: [bold]edgetl export runs/digits-mobilenetv2 --target rpi4 --format onnx,tflite[/bold]")
def export(
    run_folder: options.Run,
    target: options.Target = None,
    formats: options.Formats = None,
    settings: options.Set = None,
    json: options.Json = False,
) -> None:
    """Write ONNX, TFLite and OpenVINO files of a run for a device; integer ones too, once it was quantized.

    With --target, every file is then proven and timed here, and the fastest that keeps the accuracy is recommended.

    No file is recommended if this machine's architecture differs from the device's.
    """
    then: tuple[str, ...] = ("verify", "bench") if target else ()
    _on_run(run_folder, "export", recipe_fields(target=target, formats=formats), settings, json, then)


@app.command(epilog="Example: [bold]edgetl quantize runs/digits-mobilenetv2 --max-drop 0.01[/bold]")
def quantize(
    run_folder: options.Run,
    scheme: Annotated[
        str | None, typer.Option(metavar="S,S", help="Any of w8a8, fp16, w8 (weights alone), dynamic.")
    ] = None,
    max_drop: Annotated[
        float | None, typer.Option(metavar="FRACTION", help="Largest loss of top-1: 0.01 is one percentage point.")
    ] = None,
    settings: options.Set = None,
    json: options.Json = False,
) -> None:
    """Write versions of a run's artifacts in fewer bits, calibrated on its training images; exports first if need be.

    int8 (w8a8) climbs a ladder of remedies, format by format, until its loss on validation images is inside the bounds.

    If no rung is enough, the best file stays, and the exit code is 1.
    """
    _on_run(run_folder, "quantize", recipe_fields(scheme=scheme, max_drop=max_drop), settings, json)


@app.command(epilog="Example: [bold]edgetl verify runs/digits-mobilenetv2[/bold]")
def verify(run_folder: options.Run, settings: options.Set = None, json: options.Json = False) -> None:
    """Prove that every artifact equals what was trained: each in its own runtime, over the whole test split.

    If one does not, it prints the numbers and exits with 1. It proves again each time it is called.
    """
    _on_run(run_folder, "verify", {}, settings, json)


@app.command(epilog="Example: [bold]edgetl bench runs/digits-mobilenetv2 --set bench.threads=1[/bold]")
def bench(run_folder: options.Run, settings: options.Set = None, json: options.Json = False) -> None:
    """Measure latency, memory and size of every artifact on this machine, each in a fresh process.

    It measures again each time it is called; 'run' keeps the numbers until an artifact or the machine changes.
    """
    _on_run(run_folder, "bench", {}, settings, json)


@app.command(epilog="Example: [bold]edgetl explain runs/digits-mobilenetv2[/bold]")
def explain(run_folder: options.Run, settings: options.Set = None, json: options.Json = False) -> None:
    """Say why int8 is faster than float here, or is not: each reason with its share of the time, and what to do.

    It times and profiles each file on this machine each time it is called. 'report' then shows the result.
    """
    _on_run(run_folder, "explain", {}, settings, json)


@app.command(epilog="Example: [bold]edgetl report runs/digits-mobilenetv2[/bold]")
def report(run_folder: options.Run, settings: options.Set = None, json: options.Json = False) -> None:
    """Write report.html, one self-contained page, and the plot of accuracy against latency as PNG."""
    _on_run(run_folder, "report", {}, settings, json)


def _on_run(
    run_folder: Path,
    verb: str,
    flags: dict[str, Any],
    settings: list[str] | None,
    json: bool,
    then: tuple[str, ...] = (),
) -> None:
    from edgetl.chain.api import check_settings, run_verb
    from edgetl.recipe.fields import Recipe
    from edgetl.recipe.reading import read_settings
    from edgetl.runs.folder import RunFolder

    folder = RunFolder.open(run_folder)
    values = flags | read_settings(settings or [])
    check_settings(verb, folder, values, then)
    recipe = Recipe.build(folder.manifest["recipe"], values)
    with session(run_folder, json) as reporter:
        folder = run_verb(verb, recipe, folder, reporter, then=then)
    show(folder, json, report=f"{verb}.json" if verb == "explain" else None)
