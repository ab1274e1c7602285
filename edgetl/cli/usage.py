"""What was typed wrongly, in one line: no such command or option, a value too few or too many."""

import sys
from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperGroup
from typer.exceptions import TyperException

from edgetl.errors import EdgetlError

__all__ = ["UsageFault", "Verb", "Verbs", "fault_of", "verb_meant"]

_SYNONYMS = {
    "benchmark": "bench",
    "classify": "predict",
    "compress": "quantize",
    "convert": "export",
    "devices": "targets",
    "evaluate": "verify",
    "fit": "finetune",
    "infer": "predict",
    "list": "runs",
    "ls": "runs",
    "new": "init",
    "test": "verify",
    "serve": "predict",
    "train": "finetune",
    "validate": "verify",
}
"""What other tools call a command."""

_INT8 = "'edgetl run' writes int8 files unasked; for a run that has none, type 'edgetl quantize RUN'."
_INSTEAD = {
    "--int8": _INT8,
    "--quantize": _INT8,
    "--gpu": "A GPU trains where PyTorch finds one; files are timed on the CPU.",
    "--device": "A GPU trains where PyTorch finds one; files are timed on the CPU. To export for a device: --target.",
    "--cuda": "A GPU trains where PyTorch finds one; files are timed on the CPU.",
    "-e": "Type --epochs N.",
    "-b": "Type --batch-size N.",
    "-d": "Type --data FOLDER, or the folder alone.",
    "-t": "Type --target DEVICE.",
}
"""Options of other tools, with what to type or to know."""

_OWN_SECTION = {"finetune": "teacher"}
"""Section of the recipe that an option without one means, where it is not the student."""


class UsageFault(EdgetlError):
    """A command line that means nothing."""


class Verb(TyperCommand):
    """A command whose page names no type where there is nothing to type."""

    def get_params(self, ctx: Any) -> list[Any]:
        """As of the base class."""
        return _without_types(super().get_params(ctx))


class Verbs(TyperGroup):
    """The commands; what is none gets the nearest one."""

    def get_params(self, ctx: Any) -> list[Any]:
        """As of the base class."""
        return _without_types(super().get_params(ctx))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As of the base class."""
        word, known = args[0], list(self.commands)
        if word in known or word.startswith("-"):
            return super().resolve_command(ctx, args)
        raise UsageFault(f"{word}: no such command. {verb_meant(word, known)}")


def fault_of(error: TyperException) -> UsageFault:
    """An error of the library that reads the command line, in this project's words."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else _typed_verb()
    verb = path.removeprefix("edgetl").strip() or "edgetl"
    option = getattr(error, "option_name", None)
    if option and hasattr(error, "possibilities"):
        return UsageFault(f"{verb}: no option {option}. {_option_meant(option, context)}")
    if option:
        return UsageFault(f"{verb}: {option} needs a value. {_see(path)}")
    parameter = getattr(error, "param", None)
    if parameter is not None and hasattr(error, "param_type"):
        name = parameter.metavar or parameter.name
        return UsageFault(f"{verb}: {name} is missing: {_described(parameter)}. {_see(path)}")
    text = error.format_message().rstrip(".")
    if "unexpected extra argument" in text:
        extra = text.rpartition("(")[2].rstrip(")")
        return UsageFault(f"{verb}: {extra} is one value too many. {_see(path)}")
    return UsageFault(f"{verb}: {text[:1].lower()}{text[1:]}. {_see(path)}")


def _typed_verb() -> str:
    """The program, and the command that was typed."""
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    return " ".join(["edgetl", *words[:1]])


def _without_types(parameters: list[Any]) -> list[Any]:
    for each in parameters:
        if isinstance(each, TyperArgument):
            each.display_type_rich = _nothing  # type: ignore[method-assign]
        elif getattr(each, "is_flag", False):
            each.metavar = ""
    return parameters


def _nothing(ctx: Any) -> None:  # noqa: ARG001  the library names it
    return None


def verb_meant(word: str, known: list[str]) -> str:
    """What an unknown command may have meant, in a sentence."""
    from edgetl.recipe.checking import nearest

    if word.lower() == "version":
        return "Did you mean 'edgetl --version'?"
    wanted = _SYNONYMS.get(word.lower())
    near = [wanted] if wanted in known else nearest(word.lower(), [*known, *_SYNONYMS])
    if near:
        return f"Did you mean 'edgetl {_SYNONYMS.get(near[0], near[0])}'?"
    return f"Known: {', '.join(known)}."


def _option_meant(option: str, context: Any) -> str:
    """An option of this name elsewhere, a field of the recipe, or what is spelt like it."""
    from edgetl.recipe.checking import fields_called, nearest
    from edgetl.recipe.fields import Recipe

    verb = context.info_name
    if option in ("-v", "--verbose"):
        return "Progress is always shown; -q leaves it out."
    own = [name for parameter in context.command.params for name in parameter.opts if name.startswith("--")]
    near = nearest(option, own, cutoff=0.8)
    if near:
        return f"Did you mean {near[0]}?"
    if places := fields_called(Recipe, option.lstrip("-").replace("-", "_")):
        preferred = f"{_OWN_SECTION.get(verb, 'student')}."
        place = next((name for name in places if name.startswith(preferred)), places[0])
        if "--set" in own:
            return f"Type --set {place}=VALUE."
        return f"It is {place} of the recipe, which 'edgetl {verb}' does not read."
    group = context.parent.command.commands if context.parent else {}
    others = [name for name, command in group.items() if any(option in each.opts for each in command.params)]
    if others:
        quoted = [f"'edgetl {name}'" for name in others]
        return f"{', '.join(quoted)} {'has' if len(others) == 1 else 'have'} it."
    if instead := _INSTEAD.get(option):
        return instead
    return _see(context.command_path)


def _described(parameter: Any) -> str:
    text = (getattr(parameter, "help", "") or "").rstrip(".")
    return text[:1].lower() + text[1:]


def _see(path: str) -> str:
    return f"See '{path} --help'."
