"""A recipe as commented YAML."""

from typing import Any

import yaml

from edgetl.recipe.checking import description
from edgetl.recipe.fields import Recipe
from edgetl.recipe.section import Section

__all__ = ["recipe_template"]


def recipe_template(recipe: Recipe, *, of: dict[str, Any] | None = None) -> str:
    """Write a recipe as YAML with every field's documentation beside it; reading it back gives the same recipe.

    Args:
        recipe: What to write.
        of: Only the fields that occur there, by section; None for all.
    """
    lines = ["# An edgetl recipe. Every line may be left out; what is left out has the value of 'edgetl init'.", ""]
    for name, field in type(recipe).model_fields.items():
        value = getattr(recipe, name)
        if of is not None and name not in of:
            continue
        if isinstance(value, Section):
            lines += ["", f"# {(type(value).__doc__ or '').strip()}", f"{name}:"]
            keys = [key for key in type(value).model_fields if of is None or key in of[name]]
            lines += [line for key in keys for line in _template_field(value, key, "  ")]
        else:
            lines += [f"# {field.description}", f"{name}: {_yaml(value)}"]
    return "\n".join(lines) + "\n"


def _template_field(section: Section, key: str, indent: str) -> list[str]:
    return [f"{indent}# {description(type(section), key)}", f"{indent}{key}: {_yaml(getattr(section, key))}"]


def _yaml(value: Any) -> str:
    plain = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(plain, default_flow_style=True, width=10_000).removesuffix("\n").removesuffix("\n...")
