"""The reference of recipes, made from the fields themselves, so that it cannot be out of date."""

import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from edgetl.recipe.checking import allowed, description
from edgetl.recipe.fields import Recipe
from edgetl.recipe.presets import PRESETS, preset_values
from edgetl.recipe.section import Section

__all__ = ["RecipeFields", "RecipePresets"]

_QUOTED = re.compile(r"(?<!\w)'([^']+)'(?!\w)")
_PAGE = re.compile(r"docs/([a-z-]+\.md)")


class RecipeFields(SphinxDirective):
    """A section for each of a recipe's, with its fields."""

    def run(self) -> list[nodes.Node]:
        """Write them as Markdown, and read that."""
        return self.parse_text_to_nodes("\n".join(_fields(Recipe())), allow_section_headings=True)


class RecipePresets(SphinxDirective):
    """A table of what each preset sets."""

    def run(self) -> list[nodes.Node]:
        """Write it as Markdown, and read that."""
        return self.parse_text_to_nodes("\n".join(_presets()))


def _fields(recipe: Recipe) -> Iterator[str]:
    fields = type(recipe).model_fields
    yield from ("## Outside of sections", "")
    for name in fields:
        if not isinstance(getattr(recipe, name), Section):
            yield from _entry(name, getattr(recipe, name), recipe)
    for name in fields:
        section = getattr(recipe, name)
        if isinstance(section, Section):
            yield from (f"## {name}", "", _one_line(type(section).__doc__ or ""), "")
            for key in type(section).model_fields:
                yield from _entry(f"{name}.{key}", getattr(section, key), section)


def _entry(name: str, value: Any, owner: Section) -> Iterator[str]:
    """A field, and below it its meaning, its values and its default."""
    key = name.rpartition(".")[2]
    values, meaning = (_QUOTED.sub(r"`\1`", _one_line(text(type(owner), key))) for text in (allowed, description))
    yield from (f"`{name}`", ": " + _PAGE.sub(r"[](\1)", meaning), "")
    yield from (f"  {values[:1].upper()}{values[1:]}. Default: {_shown(value)}.", "")


def _presets() -> Iterator[str]:
    yield from ("| preset | sets |", "|---|---|")
    for name in PRESETS:
        sets = ", ".join(f"`{field}={value}`" for field, value in preset_values(name).items())
        yield f"| `--recipe {name}` | {sets} |"


def _shown(value: Any) -> str:
    """A default as it is typed."""
    if isinstance(value, tuple):
        return f"`{','.join(map(str, value))}`" if value else "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if value != "" else "none"


def _one_line(text: str) -> str:
    return " ".join(text.split())
