"""What every section of the recipe is: frozen, checked, and read only where a stage's record declares it."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict

__all__ = ["PLACE", "Section", "UndeclaredRead", "as_fraction", "as_text", "listed", "with_usual_names"]

PLACE: JsonDict = {"place": True}
"""Marks a field that says where something is kept or how it is done, and changes no result."""


def listed(value: Any) -> Any:
    """Names with commas as a tuple, each once."""
    names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
    return tuple(dict.fromkeys(names)) if isinstance(names, list | tuple) else names


def as_text(value: Any) -> Any:
    """A whole number as text, as it comes from --set or YAML."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def as_fraction(value: Any) -> Any:
    """`1%` as 0.01."""
    if not (isinstance(value, str) and value.strip().endswith("%")):
        return value
    try:
        return float(value.strip()[:-1]) / 100
    except ValueError:
        return value


def with_usual_names(names: Mapping[str, str]) -> Callable[[Any], Any]:
    """A validator that puts this project's name for what is often called otherwise, by itself or in a tuple."""

    def renamed(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(dict.fromkeys(map(renamed, value)))
        return names.get(value, value) if isinstance(value, str) else value

    return renamed


class UndeclaredRead(RuntimeError):
    """A stage reads a part of the recipe that its record does not declare: a bug of ours."""


class Section(BaseModel):
    """A part of the recipe: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name in type(self).model_fields:
                raise UndeclaredRead(
                    f"{type(self).__name__}.{name} is read, but the stage's record does not declare it"
                )
            return super().__getattr__(name)
