"""The command-line program: its name, its help text, and how it exits on an error."""

import sys
from pathlib import Path

import typer

from edgetl.errors import EdgetlError, is_storage_fault

__all__ = ["app", "main"]

app = typer.Typer(
    name="edgetl",
    help="From a folder of images to a small, fast, proven classifier on an edge device.\n\n"
    "Start with [bold]edgetl run[/bold]: without a recipe it distills, quantizes, exports, proves and measures a"
    " classifier of handwritten digits in minutes. [bold]edgetl run --data FOLDER[/bold] does it for your images.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line; turn an error that the user can act on into one line and an exit code."""
    try:
        app(prog_name="edgetl")
    except EdgetlError as error:
        _fail(error)
    except OSError as error:
        if not is_storage_fault(error):
            raise
        from edgetl.runs.disk import storage_fault

        _fail(storage_fault(Path(), error))


def _fail(error: EdgetlError) -> None:
    text = " ".join(str(error).split())
    print(f"edgetl: {text}", file=sys.stderr)
    sys.exit(error.exit_code)
