"""The reference of recipes, made from the fields themselves, so that it cannot be out of date."""

from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from edgetl.recipe.checking import allowed, description
from edgetl.recipe.fields import Recipe
from edgetl.recipe.section import Section

__all__ = ["RecipeFields"]

_BAR = r"\|"
_HEAD = ("| field | values | default | meaning |", "|---|---|---|---|")


class RecipeFields(SphinxDirective):
    """A section for each of a recipe's, with a table of its fields."""

    def run(self) -> list[nodes.Node]:
        """Write the tables as Markdown, and read them."""
        return self.parse_text_to_nodes("\n".join(_lines(Recipe())), allow_section_headings=True)


def _lines(recipe: Recipe) -> Iterator[str]:
    fields = type(recipe).model_fields
    alone = [name for name in fields if not isinstance(getattr(recipe, name), Section)]
    yield from ("## By themselves", "", *_HEAD)
    for name in alone:
        yield _row(name, getattr(recipe, name), recipe)
    for name in fields:
        section = getattr(recipe, name)
        if isinstance(section, Section):
            yield from ("", f"## {name}", "", _one_line(type(section).__doc__ or ""), "", *_HEAD)
            for key in type(section).model_fields:
                yield _row(f"{name}.{key}", getattr(section, key), section)


def _row(name: str, value: Any, owner: Section) -> str:
    key = name.rpartition(".")[2]
    cells = (f"`{name}`", allowed(type(owner), key), _shown(value), description(type(owner), key))
    return f"| {' | '.join(_one_line(cell).replace('|', _BAR) for cell in cells)} |"


def _shown(value: Any) -> str:
    """A default as it is typed."""
    if isinstance(value, tuple):
        return f"`{','.join(map(str, value))}`" if value else "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if value != "" else "none"


def _one_line(text: str) -> str:
    return " ".join(text.split())
