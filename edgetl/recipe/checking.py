"""Plain data to a checked section of the recipe; a problem becomes one line with the field and the cure."""

import difflib
from typing import Any, TypeVar

from pydantic import ValidationError

from edgetl.errors import ConfigError
from edgetl.recipe.section import Section

__all__ = ["build", "description", "nearest"]

SectionT = TypeVar("SectionT", bound=Section)


def build(section: type[SectionT], data: Any, place: str) -> SectionT:
    """Check plain data and make a frozen section of it.

    Args:
        section: The model to build.
        data: What YAML or the command line said.
        place: Dotted name of the section, for messages; empty for the whole recipe.

    Raises:
        ConfigError: The first problem found, with the field's full name and the cure.
    """
    if not isinstance(data, dict):
        raise ConfigError(place or "recipe", f"expected keys and values, got {data!r}")
    try:
        return section.model_validate(data)
    except ValidationError as problems:
        # A value for a union fails once per member; the bound that was broken says more than the type that was not.
        found = sorted(problems.errors(), key=lambda e: e["type"] in {"literal_error", "int_parsing", "float_parsing"})
        raise _config_error(section, dict(found[0]), place) from None


def nearest(word: str, known: list[str], count: int = 1) -> list[str]:
    """The `count` known words most like `word`, best first; empty if none is close."""
    return difflib.get_close_matches(word, known, n=count, cutoff=0.5)


def _config_error(section: type[Section], problem: dict[str, Any], place: str) -> ConfigError:
    keys = [str(part) for part in problem["loc"]]
    owner = section
    path: list[str] = [place] if place else []
    for key in keys:
        path.append(key)
        field = owner.model_fields.get(key)
        inner = field.annotation if field else None
        if problem["type"] == "extra_forbidden" and key == keys[-1]:
            near = nearest(key, list(owner.model_fields))
            hint = f"Did you mean '{near[0]}'?" if near else "Known keys: " + ", ".join(owner.model_fields) + "."
            return ConfigError(".".join(path), "unknown key", hint=hint)
        if not (isinstance(inner, type) and issubclass(inner, Section)):
            return ConfigError(".".join(path), _expectation(owner, key, problem), hint=description(owner, key))
        owner = inner
    return ConfigError(".".join(path) or "recipe", f"expected keys and values, got {problem['input']!r}")


def description(owner: type[Section], key: str) -> str:
    """What the documentation of a field says; empty for an unknown key."""
    field = owner.model_fields.get(key)
    return (field.description or "") if field else ""


def _expectation(owner: type[Section], key: str, problem: dict[str, Any]) -> str:
    if problem["type"] == "missing":
        return "is required"
    schema = owner.model_json_schema()["properties"].get(key, {})
    return f"expected {_allowed(schema)}, got {problem['input']!r}"


def _allowed(schema: dict[str, Any]) -> str:
    """Say in words what a JSON schema of one field admits."""
    if "anyOf" in schema:
        outer = {k: v for k, v in schema.items() if k != "anyOf"}
        return " or ".join(_allowed({**outer, **member}) for member in schema["anyOf"])
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if "const" in schema:
        return repr(schema["const"])
    if schema.get("type") == "array":
        return "a list of " + _allowed(schema["items"]).removeprefix("one of ")
    if schema.get("type") == "object":
        names = _allowed(schema["propertyNames"]) if "propertyNames" in schema else "names"
        return f"{names}, each with {_allowed(schema['additionalProperties'])}"
    noun = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "text"}
    return noun.get(schema.get("type", ""), "another value") + _bounds(schema)


def _bounds(schema: dict[str, Any]) -> str:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is not None and high is not None:
        strict = "exclusiveMinimum" in schema or "exclusiveMaximum" in schema
        return f" between {low:g} and {high:g}" if strict else f" from {low:g} to {high:g}"
    return f" of at least {low:g}" if low is not None else ""
