"""The command-line program: its name, its help text, and how it exits on an error."""

import io
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer.exceptions import TyperException

from edgetl.cli.usage import UsageFault, Verb, Verbs, fault_of, verb_meant
from edgetl.errors import EdgetlError, ProofFailed, ProofUndecided, is_storage_fault

__all__ = ["app", "main", "verb"]

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

app = typer.Typer(
    name="edgetl",
    cls=Verbs,
    help="From a folder of images to a small, fast, proven classifier on an edge device.\n\n"
    "Start with [bold]edgetl run FOLDER[/bold], a folder of images for each class. Without a folder, [bold]edgetl"
    " run[/bold] distills, quantizes, exports, proves and measures a classifier of handwritten digits in minutes.",
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def verb(example: str) -> Callable[[CommandT], CommandT]:
    """Make a function a command, whose help page ends with an example."""
    return app.command(cls=Verb, epilog=f"Example: [bold]{example}[/bold]")


def main() -> None:
    """Run the command line; turn an error that the user can act on into one line and an exit code."""
    code = 0
    warnings.filterwarnings("ignore", module="PIL")  # of each image that is odd but readable; what is not, is named
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files need not be text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        _check_place()
        code = app(prog_name="edgetl", standalone_mode=False) or 0
        sys.stdout.flush()
    except TyperException as error:
        _fail(fault_of(error))
    except EdgetlError as error:
        _fail(error)
    except BrokenPipeError:
        # Whoever read the output has seen enough; Python would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as error:
        if not is_storage_fault(error):
            raise
        from edgetl.runs.disk import storage_fault

        _fail(storage_fault(Path(), error))
    sys.exit(code)


def _check_place() -> None:
    try:
        Path.cwd()
    except FileNotFoundError:
        raise UsageFault("the working folder is gone. Change to one that exists") from None


@app.callback(invoke_without_command=True)
def about(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", "-V", help="Show the version and exit.")] = False,
) -> None:
    """Options of the program itself."""
    from edgetl.runner import __version__

    if version:
        print(f"edgetl {__version__}")
    elif context.invoked_subcommand is None:
        print(context.get_help())


@app.command("help", cls=Verb, hidden=True)
def help_page(
    context: typer.Context, verb: Annotated[str | None, typer.Argument(help="The command; all if left out.")] = None
) -> None:
    """Show the page of a command."""
    program = context.parent
    assert program is not None
    commands = program.command.commands  # type: ignore[attr-defined]  # of a group
    if verb is None:
        print(program.get_help())
    elif verb in commands:
        command = commands[verb]
        print(command.get_help(command.make_context(verb, [], parent=program, resilient_parsing=True)))
    else:
        raise UsageFault(f"{verb}: no such command. {verb_meant(verb, [name for name in commands if name != 'help'])}")


def _fail(error: EdgetlError) -> None:
    from edgetl.cli.terminal import plain, print_json

    text = plain(" ".join(str(error).split()))
    print(f"edgetl: {text}", file=sys.stderr)
    if "--json" in sys.argv and not isinstance(error, ProofFailed | ProofUndecided):  # whose results are printed
        print_json({"error": {"kind": type(error).__name__, "message": text, "exit_code": error.exit_code}})
    sys.exit(error.exit_code)
