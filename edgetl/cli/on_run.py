"""Verbs on an existing run: predict, export, quantize, verify, bench, explain, report."""

import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgetl.cli import completion, options
from edgetl.cli.app import verb
from edgetl.cli.flags import recipe_fields
from edgetl.cli.session import session, show
from edgetl.errors import ConfigError, EnvironmentFault

if TYPE_CHECKING:
    from edgetl.runs.folder import RunFolder

__all__ = ["bench", "explain", "export", "predict", "quantize", "report", "verify"]


@verb("edgetl predict runs/photos-mobilenetv2 cat.jpg")
def predict(
    what: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|MODEL", help="A run folder, or a model file.", autocompletion=completion.run_folders
        ),
    ],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE", help="Image files, and folders of them.")],
    top: Annotated[str, typer.Option(metavar="K", help="Labels of each image.")] = "5",
    json: options.Json = False,
) -> None:
    """Say what images show, by the recommended file of a run or by a model file.

    Images are read and resized as they were when the file was proven.
    """
    from edgetl.chain.predicting import answers_of
    from edgetl.cli.results import print_answers
    from edgetl.cli.terminal import print_json

    if not top.isdecimal() or int(top) < 1:
        raise ConfigError("--top", f"expected a whole number of at least 1, got {top!r}")
    answers = answers_of(what, images)
    if json:
        print_json({"by": str(answers.by), "predictions": answers.top(int(top))})
    else:
        print_answers(answers, int(top))


@verb("edgetl export runs/digits-mobilenetv2 --target rpi4 --format onnx,tflite")
def export(
    run_folder: options.Run,
    target: options.Target = None,
    formats: options.Formats = None,
    settings: options.Set = None,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Write ONNX, TFLite and OpenVINO files of a run for a device; integer ones too, once it was quantized.

    With --target, every file is then proven and timed here, and the fastest that keeps the accuracy is recommended.

    No file is recommended if this machine's architecture differs from the device's.
    """
    then: tuple[str, ...] = ("verify", "bench") if target else ()
    _on_run(run_folder, "export", recipe_fields(target=target, formats=formats), settings, _Shown(json, quiet), then)


@verb("edgetl quantize runs/digits-mobilenetv2 --max-drop 0.01")
def quantize(
    run_folder: options.Run,
    scheme: options.Scheme = None,
    max_drop: options.MaxDrop = None,
    settings: options.Set = None,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Write versions of a run's artifacts in fewer bits, calibrated on its training images; exports first if need be.

    int8 (w8a8) climbs a ladder of remedies, format by format, until its loss on validation images is inside the bounds.

    If no rung is enough, the best file stays, and the exit code is 1.
    """
    _on_run(run_folder, "quantize", recipe_fields(scheme=scheme, max_drop=max_drop), settings, _Shown(json, quiet))


@verb("edgetl verify runs/digits-mobilenetv2")
def verify(
    run_folder: options.Run, settings: options.Set = None, quiet: options.Quiet = False, json: options.Json = False
) -> None:
    """Prove that every artifact equals what was trained: each in its own runtime, over the whole test split.

    If one does not, it prints the numbers and exits with 1. It proves again each time it is called.
    """
    _on_run(run_folder, "verify", {}, settings, _Shown(json, quiet))


@verb("edgetl bench runs/digits-mobilenetv2 --set bench.threads=1")
def bench(
    run_folder: options.Run, settings: options.Set = None, quiet: options.Quiet = False, json: options.Json = False
) -> None:
    """Measure latency, memory and size of every artifact on this machine, each in a fresh process.

    It measures again each time it is called; 'run' keeps the numbers until an artifact or the machine changes.
    """
    _on_run(run_folder, "bench", {}, settings, _Shown(json, quiet))


@verb("edgetl explain runs/digits-mobilenetv2")
def explain(
    run_folder: options.Run, settings: options.Set = None, quiet: options.Quiet = False, json: options.Json = False
) -> None:
    """Say why int8 is faster than float here, or is not: each reason with its share of the time, and what to do.

    It times and profiles each file on this machine each time it is called. 'report' then shows the result.
    """
    _on_run(run_folder, "explain", {}, settings, _Shown(json, quiet))


@verb("edgetl report runs/digits-mobilenetv2")
def report(
    run_folder: options.Run,
    is_opened: Annotated[bool, typer.Option("--open", help="Show the page in a browser, too.")] = False,
    settings: options.Set = None,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Write report.html, one self-contained page, and the plot of accuracy against latency as PNG."""
    folder = _on_run(run_folder, "report", {}, settings, _Shown(json, quiet))
    if is_opened and not webbrowser.open((folder.path / "report.html").resolve().as_uri()):
        raise EnvironmentFault("no browser was found here. Copy report.html, which is all there is to it, and open it")


@dataclass(frozen=True)
class _Shown:
    """What a verb shows."""

    json: bool
    quiet: bool


def _on_run(
    run_folder: Path,
    verb: str,
    flags: dict[str, Any],
    settings: list[str] | None,
    shown: _Shown,
    then: tuple[str, ...] = (),
) -> "RunFolder":
    from edgetl.chain.api import check_settings, run_verb
    from edgetl.recipe.fields import Recipe
    from edgetl.recipe.reading import read_settings
    from edgetl.runs.folder import RunFolder

    if (run_folder.parent / "manifest.json").is_file() and run_folder.is_file():
        run_folder = run_folder.parent  # one of its files stands for the run
    folder = RunFolder.open(run_folder)
    values = flags | read_settings(settings or [])
    check_settings(verb, folder, values, then)
    recipe = Recipe.build(folder.manifest["recipe"], values)
    with session(run_folder, json=shown.json, quiet=shown.quiet) as reporter:
        folder = run_verb(verb, recipe, folder, reporter, then=then)
    show(folder, shown.json, report=f"{verb}.json" if verb == "explain" else None)
    return folder
