"""Verbs that need no run: runs, targets, doctor, init."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from edgetl.cli import completion, options
from edgetl.cli.app import verb
from edgetl.cli.flags import asked_recipe, recipe_fields
from edgetl.errors import ConfigError

__all__ = ["doctor", "init", "runs", "targets"]


_RUNS = Path("runs")
_PHOTOS = "photos"
"""Where the images are, as long as nobody has said it."""


@verb("edgetl runs")
def runs(
    place: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to look.", show_default=True)] = _RUNS,
    json: options.Json = False,
) -> None:
    """List run folders: what they learned from, the model, its accuracy, and how old they are."""
    from edgetl.cli.terminal import print_json, print_table
    from edgetl.runs.listing import listed_runs

    found = listed_runs(place) if place != _RUNS or place.exists() else []
    if json:
        print_json({"runs": [each.to_dict() for each in found]})
    elif found:
        print_table(["run", "data", "model", "test\ntop-1", "last\nstage", "age"], [each.row() for each in found])
    else:
        print(f"No run folders in {place}. 'edgetl run FOLDER' makes one.")


@verb("edgetl targets rpi4 > mine.yaml")
def targets(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="DEVICE",
            help="Print this one as YAML, to start your own from.",
            show_default=False,
            autocompletion=completion.targets,
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """List the devices that edgetl knows, or print one.

    For a device of your own, change a copy of one that is like it, and give the file: --target mine.yaml.
    """
    from edgetl.cli.terminal import print_json, print_table
    from edgetl.devices.profiles import find_target, known_targets, target_text

    if name and not json:
        print(target_text(name), end="")
        return
    known = [find_target(name)] if name else known_targets()
    if json:
        print_json({"targets": [target.model_dump(mode="json") for target in known]})
        return
    rows = [[t.name, t.title, t.cpu, ", ".join(t.formats)] for t in known]
    print_table(["target", "device", "CPU", "formats"], rows)
    print("Your own: edgetl targets rpi4 > mine.yaml, change it, and give --target mine.yaml.")


@verb("edgetl doctor")
def doctor(json: options.Json = False) -> None:
    """Show this machine and what is installed; exits with 4 if something is missing."""
    from edgetl.cli.terminal import print_json, print_table
    from edgetl.devices.facts import free_space, machine
    from edgetl.runs.installed import EXTRAS, missing, versions

    lacking = {extra: names for extra in EXTRAS if (names := missing(extra))}
    if json:
        print_json({"machine": machine() | free_space(), "versions": versions(), "missing": lacking})
    else:
        print_table(["this machine", ""], _facts(machine() | free_space()))
        print_table(["installed", ""], [[k, v] for k, v in versions().items()])
        for extra, names in lacking.items():
            print(f"Missing for [{extra}]: {', '.join(names)}.")
        if lacking:
            print(f"Run: pip install 'edgetl[{','.join(lacking)}]'")
        else:
            print("Ready: everything is installed. Next: edgetl run FOLDER, with a folder of images for each class.")
    if lacking:
        raise typer.Exit(4)


@verb("edgetl init recipe.yaml --data photos")
def init(
    file: Annotated[Path, typer.Argument(help="Recipe to write.")] = Path("recipe.yaml"),
    data: options.Data = None,
    teacher: options.Teacher = None,
    student: options.Student = None,
    target: options.Target = None,
    json: options.Json = False,
) -> None:
    """Write a recipe with every option, its default and its meaning."""
    from edgetl.cli.terminal import print_json
    from edgetl.recipe.template import recipe_template
    from edgetl.runs.files import write_atomic

    if file.is_dir():
        raise ConfigError(str(file), "is a folder", hint=f"For its images, type: edgetl init recipe.yaml --data {file}")
    if file.exists():
        raise ConfigError(str(file), "already exists", hint="Choose another name, or delete it first.")
    if not file.parent.is_dir():
        raise ConfigError(str(file), f"there is no folder {file.parent}", hint="Make it first.")
    flags = recipe_fields(data=data or _PHOTOS, teacher=teacher, student=student, target=target)
    write_atomic(file, recipe_template(asked_recipe(None, flags, None)))
    if json:
        print_json({"recipe": str(file)})
        return
    if data and data != "digits" and not Path(data).expanduser().is_dir():
        print(f"edgetl: {data}: no such folder yet.", file=sys.stderr)
    first = "" if data else f"write the place of your images behind 'path:' in it ({_PHOTOS!r} for now), then "
    print(f"Wrote {file}. Now: {first}edgetl run {file}")


def _facts(facts: dict[str, Any]) -> list[list[str]]:
    """Names and values as people say them."""
    rows = []
    for name, value in facts.items():
        if name.endswith("_bytes"):
            rows.append([name.removesuffix("_bytes").replace("_", " "), f"{value / 2**30:.1f} GiB"])
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            rows.append([name.replace("_", " "), text])
    return rows
