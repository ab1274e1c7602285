"""A part of a recipe: what a stage declares is what it can read, and what its result depends on."""

from collections.abc import Iterable
from typing import Any, TypeVar

from edgetl.recipe.fields import Recipe
from edgetl.recipe.section import PLACE, Section

__all__ = ["narrowed", "values_of"]

SectionT = TypeVar("SectionT", bound=Section)


def narrowed(recipe: Recipe, names: Iterable[str]) -> Recipe:
    """A recipe of which only some parts can be read; reading another raises `UndeclaredRead`.

    Args:
        recipe: The whole.
        names: A field of the recipe (`seed`), a section (`quantize`), or a field of a section (`bench.threads`).
    """
    parts = _parts(names)
    kept: dict[str, Any] = {}
    for name, fields in parts.items():
        value = getattr(recipe, name)
        kept[name] = value if fields is None else _only(value, fields)
    return _only(recipe, kept, kept)


def values_of(recipe: Recipe, names: Iterable[str], *, places: bool = True) -> dict[str, Any]:
    """The values of parts of a recipe as plain data, by section.

    Args:
        recipe: It has these parts.
        names: As for `narrowed`.
        places: Whether fields count that say where or how something is done and change no result.
    """
    found: dict[str, Any] = {}
    for name, fields in _parts(names).items():
        value = getattr(recipe, name)
        if not isinstance(value, Section):
            found |= {} if _is_place(recipe, name) and not places else {name: value}
            continue
        chosen = [key for key in type(value).model_fields if fields is None or key in fields]
        found[name] = value.model_dump(
            mode="json", include={key for key in chosen if places or not _is_place(value, key)}
        )
    return found


def _parts(names: Iterable[str]) -> dict[str, set[str] | None]:
    """By section the fields that are named, None for all."""
    parts: dict[str, set[str] | None] = {}
    for name in names:
        section, _, field = name.partition(".")
        known = parts.get(section, set())
        parts[section] = None if not field or known is None else known | {field}
    return parts


def _only(section: SectionT, fields: Iterable[str], values: dict[str, Any] | None = None) -> SectionT:
    narrow = section.model_copy()
    kept = {name: value for name, value in narrow.__dict__.items() if name in set(fields)}
    object.__setattr__(narrow, "__dict__", kept | (values or {}))
    return narrow


def _is_place(section: Section, field: str) -> bool:
    return type(section).model_fields[field].json_schema_extra == PLACE
