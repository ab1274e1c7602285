"""Verbs that need no run: targets, doctor, init."""

from pathlib import Path
from typing import Annotated, Any

import typer

from edgetl.cli import options
from edgetl.cli.app import app
from edgetl.cli.flags import asked_recipe, recipe_fields
from edgetl.errors import ConfigError

__all__ = ["doctor", "init", "targets"]


@app.command(epilog="Example: [bold]edgetl targets --json[/bold]")
def targets(json: options.Json = False) -> None:
    """List the devices that edgetl knows."""
    from edgetl.cli.terminal import print_json, print_table
    from edgetl.devices.profiles import known_targets

    known = known_targets()
    if json:
        print_json({"targets": [target.model_dump(mode="json") for target in known]})
        return
    rows = [[t.name, t.title, t.cpu, ", ".join(t.formats)] for t in known]
    print_table(["target", "device", "CPU", "formats"], rows)


@app.command(epilog="Example: [bold]edgetl doctor[/bold]")
def doctor(json: options.Json = False) -> None:
    """Show this machine and what is installed; exits with 4 if something is missing."""
    from edgetl.cli.terminal import print_json, print_table
    from edgetl.devices.facts import machine
    from edgetl.runs.installed import EXTRAS, missing, versions

    lacking = {extra: names for extra in EXTRAS if (names := missing(extra))}
    if json:
        print_json({"machine": machine(), "versions": versions(), "missing": lacking})
    else:
        print_table(["this machine", ""], [[k.replace("_", " "), _words(v)] for k, v in machine().items()])
        print_table(["installed", ""], [[k, v] for k, v in versions().items()])
        for extra, names in lacking.items():
            print(f"Missing for [{extra}]: {', '.join(names)}. Run: pip install 'edgetl[{extra}]'")
    if lacking:
        raise typer.Exit(4)


@app.command(epilog="Example: [bold]edgetl init recipe.yaml --data photos[/bold]")
def init(
    file: Annotated[Path, typer.Argument(help="Recipe to write.")] = Path("recipe.yaml"),
    data: options.Data = None,
    teacher: options.Teacher = None,
    student: options.Student = None,
    target: options.Target = None,
) -> None:
    """Write a recipe with every option, its default and its meaning."""
    from edgetl.recipe.template import recipe_template
    from edgetl.runs.files import write_atomic

    if file.exists():
        raise ConfigError(str(file), "already exists", hint="Choose another name, or delete it first.")
    asked = asked_recipe(None, recipe_fields(data=data, teacher=teacher, student=student, target=target), None)
    write_atomic(file, recipe_template(asked))
    print(f"Wrote {file}. Now: edgetl run {file}")


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
