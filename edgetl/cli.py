"""The verbs: the only place that prints a result or exits."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgetl.errors import ConfigError, EdgetlError, ProofFailed, StorageFault, is_storage_fault
from edgetl.flags import recipe_fields

if TYPE_CHECKING:
    from edgetl.config import Recipe

__all__ = ["app", "main"]

_INTERRUPTED = 130

app = typer.Typer(
    name="edgetl",
    help="From a folder of images to a small, fast, proven classifier on an edge device.\n\n"
    "Start with [bold]edgetl run[/bold]: without a recipe it distills, quantizes, exports, proves and measures a"
    " classifier of handwritten digits in minutes. [bold]edgetl run --data FOLDER[/bold] does it for your images.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

_Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, as 'run', 'distill' or 'finetune' makes one.")]
_Data = Annotated[
    str | None, typer.Option(help="Folder of class folders, with or without train/val/test below it; or 'digits'.")
]
_Weights = Annotated[
    str | None,
    typer.Option(metavar="default|none|FILE", help="Pretrained, random, or a .safetensors file for what is trained."),
]
_Out = Annotated[Path | None, typer.Option(help="Run folder to write; runs/DATA-MODEL if left out.")]
_Seed = Annotated[int | None, typer.Option(help="Seeds the split, the views and the initial weights.")]
_Set = Annotated[list[str] | None, typer.Option("--set", metavar="A.B=C", help="Any field of the recipe; repeatable.")]
_Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
_Target = Annotated[str | None, typer.Option(help="Device to export for; 'edgetl targets' lists them.")]
_Formats = Annotated[str | None, typer.Option("--format", metavar="F,F", help="Any of onnx,tflite,openvino.")]
_Teacher = Annotated[
    str | None, typer.Option(help="Model name, or run folders of trained teachers (several, with commas, as one).")
]
_Student = Annotated[str | None, typer.Option(help="Model name: an alias, a timm name or torchvision:NAME.")]
_RecipeFile = Annotated[
    Path | None, typer.Argument(metavar="RECIPE.yaml", help="A recipe; 'edgetl init' writes one.", show_default=False)
]
_Preset = Annotated[
    str | None, typer.Option("--recipe", metavar="fast|balanced|patient", help="How much training buys the student.")
]
_Loss = Annotated[
    str | None,
    typer.Option(metavar="L[=W],...", help="Any of kd,dkd,dist,crd,feature,hard, weighted: dist=2,hard."),
]
_Unlabelled = Annotated[
    str | None, typer.Option(metavar="DIR", help="More images, labels not needed: the teacher knows them.")
]
_Control = Annotated[
    bool, typer.Option("--control", help="Also train without the teacher, and say whether it helped (3 seeds).")
]
_Prune = Annotated[
    float | None,
    typer.Option(metavar="FRACTION", help="Prune the student to this part of its latency, measured here: 0.6."),
]
_PrintConfig = Annotated[bool, typer.Option("--print-config", help="Print the recipe that would run, and stop.")]


def main() -> None:
    """Run the command line; errors of the user become one line and an exit code."""
    try:
        app()
    except EdgetlError as error:
        _fail(error)
    except OSError as error:
        if not is_storage_fault(error):
            raise
        _fail(StorageFault(error.filename or ".", error))


def _fail(error: EdgetlError) -> None:
    text = " ".join(str(error).split())
    print(f"edgetl: {text}", file=sys.stderr)
    sys.exit(error.exit_code)


@app.command(epilog="Example: [bold]edgetl run --data photos --target rpi4[/bold]")
def run(
    recipe: _RecipeFile = None,
    data: _Data = None,
    teacher: _Teacher = None,
    student: _Student = None,
    weights: _Weights = None,
    preset: _Preset = None,
    loss: _Loss = None,
    unlabelled: _Unlabelled = None,
    control: _Control = False,
    prune: _Prune = None,
    target: _Target = None,
    formats: _Formats = None,
    out: _Out = None,
    seed: _Seed = None,
    settings: _Set = None,
    first: Annotated[str | None, typer.Option("--from", metavar="STAGE", help="First stage to run.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="STAGE", help="Last stage to run.")] = None,
    print_config: _PrintConfig = False,
    json: _Json = False,
) -> None:
    """Run the whole chain: data, finetune, distill, control (if asked), export, quantize, verify, bench, report.

    What has not changed since the last time is not done again, so an interrupted run goes on where it was.
    """
    from edgetl.pipeline import selection

    flags = recipe_fields(
        data=data, teacher=teacher, student=student, weights=weights, target=target, formats=formats, seed=seed,
        preset=preset, loss=loss, unlabelled=unlabelled, control=control, prune=prune,
    )  # fmt: skip
    asked = _recipe(recipe, flags, settings, print_config)
    _chain(asked, out, selection(first, last), json)


@app.command(epilog="Example: [bold]edgetl distill --teacher resnet50 --student mobilenetv2 --data photos[/bold]")
def distill(
    recipe: _RecipeFile = None,
    data: _Data = None,
    teacher: _Teacher = None,
    student: _Student = None,
    weights: _Weights = None,
    preset: _Preset = None,
    loss: _Loss = None,
    unlabelled: _Unlabelled = None,
    control: _Control = False,
    prune: _Prune = None,
    out: _Out = None,
    seed: _Seed = None,
    settings: _Set = None,
    print_config: _PrintConfig = False,
    json: _Json = False,
) -> None:
    """Train a small student on a teacher's answers.

    A teacher given by name is fine-tuned first on the same data; one given as a run folder is used as it is.

    Under 'torchrun' (or 'accelerate launch' on GPUs) many processes share the work.
    """
    flags = recipe_fields(
        data=data, teacher=teacher, student=student, weights=weights, seed=seed,
        preset=preset, loss=loss, unlabelled=unlabelled, control=control, prune=prune,
    )  # fmt: skip
    asked = _recipe(recipe, flags, settings, print_config)
    _chain(asked, out, ("data", "finetune", "distill", "control"), json)


@app.command(epilog="Example: [bold]edgetl finetune --model resnet50 --data photos[/bold]")
def finetune(
    recipe: _RecipeFile = None,
    model: Annotated[str | None, typer.Option(help="Model name: an alias, a timm name or torchvision:NAME.")] = None,
    data: _Data = None,
    weights: _Weights = None,
    out: _Out = None,
    seed: _Seed = None,
    settings: _Set = None,
    print_config: _PrintConfig = False,
    json: _Json = False,
) -> None:
    """Fine-tune one model on your images, to be a teacher or to be exported as it is."""
    from edgetl.pipeline import finetune_only

    flags = recipe_fields(data=data, teacher=model, teacher_weights=weights, seed=seed)
    asked = _recipe(recipe, flags, settings, print_config)
    place = out or _default_out(asked, asked.teacher.model)
    with _session(place, json) as reporter:
        folder = finetune_only(asked, place, reporter)
    _show(folder, json)


@app.command(epilog="Example: [bold]edgetl export runs/digits-mobilenetv2 --target rpi4 --format onnx,tflite[/bold]")
def export(
    run_folder: _Run, target: _Target = None, formats: _Formats = None, settings: _Set = None, json: _Json = False
) -> None:
    """Write ONNX, TFLite and OpenVINO files of a run for a device; integer ones too, once it was quantized.

    With --target, every file is then proven and timed here, and the fastest that keeps the accuracy is recommended.

    Times of a machine of another kind than the device recommend nothing.
    """
    then: tuple[str, ...] = ("verify", "bench") if target else ()
    _on_run(run_folder, "export", recipe_fields(target=target, formats=formats), settings, json, then)


@app.command(epilog="Example: [bold]edgetl quantize runs/digits-mobilenetv2 --max-drop 0.01[/bold]")
def quantize(
    run_folder: _Run,
    scheme: Annotated[
        str | None, typer.Option(metavar="S,S", help="Any of w8a8, fp16, w8 (weights alone), dynamic, w8a16.")
    ] = None,
    max_drop: Annotated[
        float | None, typer.Option(metavar="FRACTION", help="Largest loss of top-1: 0.01 is one point of a hundred.")
    ] = None,
    settings: _Set = None,
    json: _Json = False,
) -> None:
    """Write versions of a run's artifacts in fewer bits, calibrated on its training images; exports first if need be.

    int8 (w8a8) climbs a ladder of remedies, format by format, until its loss on validation images is inside the bounds.

    If no rung is enough, the best file stays, and the exit code is 1.
    """
    _on_run(run_folder, "quantize", recipe_fields(scheme=scheme, max_drop=max_drop), settings, json)


@app.command(epilog="Example: [bold]edgetl verify runs/digits-mobilenetv2[/bold]")
def verify(run_folder: _Run, settings: _Set = None, json: _Json = False) -> None:
    """Prove that every artifact equals what was trained: each in its own runtime, over the whole test split.

    Exits with 1 and the numbers if one does not. It proves anew each time it is asked.
    """
    _on_run(run_folder, "verify", {}, settings, json)


@app.command(epilog="Example: [bold]edgetl bench runs/digits-mobilenetv2 --set bench.threads=1[/bold]")
def bench(run_folder: _Run, settings: _Set = None, json: _Json = False) -> None:
    """Measure latency, memory and size of every artifact on this machine, each in a fresh process.

    It measures anew each time it is asked; 'run' keeps what was measured until an artifact or the machine changes.
    """
    _on_run(run_folder, "bench", {}, settings, json)


@app.command(epilog="Example: [bold]edgetl explain runs/digits-mobilenetv2[/bold]")
def explain(run_folder: _Run, settings: _Set = None, json: _Json = False) -> None:
    """Say why int8 is faster than float here, or is not: each reason with its share of the time, and what to do.

    It times and profiles each file on this machine, anew each time it is asked. 'report' then shows it on the page.
    """
    _on_run(run_folder, "explain", {}, settings, json)


@app.command(epilog="Example: [bold]edgetl report runs/digits-mobilenetv2[/bold]")
def report(run_folder: _Run, settings: _Set = None, json: _Json = False) -> None:
    """Write report.html, one self-contained page, and the plot of accuracy against latency as PNG."""
    _on_run(run_folder, "report", {}, settings, json)


@app.command(epilog="Example: [bold]edgetl targets --json[/bold]")
def targets(json: _Json = False) -> None:
    """List the devices that edgetl knows."""
    from edgetl.targets import known_targets
    from edgetl.terminal import print_json, print_table

    known = known_targets()
    if json:
        print_json({"targets": [target.model_dump(mode="json") for target in known]})
        return
    rows = [[t.name, t.title, t.cpu, ", ".join(t.formats)] for t in known]
    print_table(["target", "device", "CPU", "formats"], rows)


@app.command(epilog="Example: [bold]edgetl doctor[/bold]")
def doctor(json: _Json = False) -> None:
    """Show this machine and what is installed; exits with 4 if something is missing."""
    from edgetl.environment import EXTRAS, installed_version, machine, versions
    from edgetl.terminal import print_json, print_table

    missing = {extra: [d for d in names if installed_version(d) is None] for extra, names in EXTRAS.items()}
    missing = {extra: names for extra, names in missing.items() if names}
    if json:
        print_json({"machine": machine(), "versions": versions(), "missing": missing})
    else:
        print_table(["this machine", ""], [[k.replace("_", " "), _words(v)] for k, v in machine().items()])
        print_table(["installed", ""], [[k, v] for k, v in versions().items()])
        for extra, names in missing.items():
            print(f"Missing for [{extra}]: {', '.join(names)}. Run: pip install 'edgetl[{extra}]'")
    if missing:
        raise typer.Exit(4)


@app.command(epilog="Example: [bold]edgetl init recipe.yaml --data photos[/bold]")
def init(
    file: Annotated[Path, typer.Argument(help="Recipe to write.")] = Path("recipe.yaml"),
    data: _Data = None,
    teacher: _Teacher = None,
    student: _Student = None,
    target: _Target = None,
) -> None:
    """Write a recipe with every option, its default and its meaning."""
    from edgetl.artifact import write_atomic
    from edgetl.recipes import recipe_template

    if file.exists():
        raise ConfigError(str(file), "is already there", hint="Choose another name, or delete it first.")
    asked = _recipe(None, recipe_fields(data=data, teacher=teacher, student=student, target=target), None, False)
    write_atomic(file, recipe_template(asked))
    print(f"Wrote {file}. Now: edgetl run {file}")


def _recipe(file: Path | None, flags: dict[str, Any], settings: list[str] | None, print_config: bool) -> "Recipe":
    """Put together the recipe: the file or the embedded one, then flags, then --set; print it and stop if asked to."""
    from edgetl.recipes import digits_recipe, load_recipe, recipe_template

    embedded = file is None and flags.get("data.path", "digits") == "digits"
    recipe = _with_overrides(digits_recipe() if embedded else load_recipe(file), flags, settings)
    if print_config:
        print(recipe_template(recipe), end="")
        raise typer.Exit
    return recipe


def _with_overrides(data: dict[str, Any], flags: dict[str, Any], settings: list[str] | None) -> "Recipe":
    from edgetl.config import Recipe
    from edgetl.recipes import build, read_settings, with_values

    return build(Recipe, with_values(data, flags | read_settings(settings or [])), "")


def _default_out(recipe: "Recipe", model: str) -> Path:
    name = f"{Path(recipe.data.path).resolve().name}-{model}"
    return Path("runs") / name.replace(":", "-").replace("/", "-")


def _chain(recipe: "Recipe", out: Path | None, stages: tuple[str, ...], json: bool) -> None:
    from edgetl.pipeline import run_chain

    place = out or _default_out(recipe, recipe.student.model)
    with _session(place, json) as reporter:
        folder = run_chain(recipe, place, stages, reporter)
    _show(folder, json)


def _on_run(
    run_folder: Path,
    verb: str,
    flags: dict[str, Any],
    settings: list[str] | None,
    json: bool,
    then: tuple[str, ...] = (),
) -> None:
    from edgetl.artifact import RunFolder
    from edgetl.pipeline import run_verb

    folder = RunFolder.open(run_folder)
    recipe = _with_overrides(folder.manifest["recipe"], flags, settings)
    with _session(run_folder, json) as reporter:
        folder = run_verb(verb, recipe, folder, reporter, then=then)
    _show(folder, json, report=f"{verb}.json" if verb == "explain" else None)


@contextmanager
def _session(place: Path, json: bool) -> Iterator[Any]:
    """Give a reporter; show a run whose proof failed before the error, and turn Ctrl-C into a word on how to go on."""
    from edgetl.artifact import RunFolder
    from edgetl.processes import launched
    from edgetl.reporter import Reporter
    from edgetl.terminal import TerminalReporter

    try:
        yield TerminalReporter() if launched().first else Reporter()
    except ProofFailed:
        _show(RunFolder.open(place), json)
        raise
    except KeyboardInterrupt:
        print("\nedgetl: interrupted. The same command goes on where it was.", file=sys.stderr)
        raise typer.Exit(_INTERRUPTED) from None


def _show(folder: Any, json: bool, *, report: str | None = None) -> None:
    """Show what a run has, or one stage's report."""
    from edgetl.processes import launched
    from edgetl.terminal import print_explanation, print_json, print_run, read_report

    if not launched().first:
        return
    if report and json:
        print_json({"run": str(folder.path), **read_report(folder, report)})
    elif report:
        print_explanation(read_report(folder, report))
    elif json:
        print_json({"run": str(folder.path), "metrics": folder.manifest["metrics"]})
    else:
        print_run(folder)


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
