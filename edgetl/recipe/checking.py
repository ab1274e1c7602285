"""Plain data to a checked section of the recipe; a problem becomes one line with the field and the cure."""

import difflib
from typing import Any, TypeVar

from pydantic import ValidationError

from edgetl.errors import ConfigError
from edgetl.recipe.section import Section

__all__ = ["allowed", "build", "description", "every_field", "fields_called", "nearest"]

_USUAL = {
    "batch": "batch_size",
    "bs": "batch_size",
    "dataset": "path",
    "img_size": "image_size",
    "imgsz": "image_size",
    "input_size": "image_size",
    "lr": "learning_rate",
    "scheduler": "schedule",
}
"""Names that other tools give to fields."""

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


def nearest(word: str, known: list[str], count: int = 1, cutoff: float = 0.5) -> list[str]:
    """The `count` known words most like `word`, best first; empty if none is as close as `cutoff`, from 0 to 1."""
    return difflib.get_close_matches(word, known, n=count, cutoff=cutoff)


def _config_error(section: type[Section], problem: dict[str, Any], place: str) -> ConfigError:
    keys = [str(part) for part in problem["loc"]]
    owner = section
    path: list[str] = [place] if place else []
    for key in keys:
        path.append(key)
        field = owner.model_fields.get(key)
        inner = field.annotation if field else None
        if problem["type"] == "extra_forbidden" and key == keys[-1]:
            return ConfigError(".".join(path), "unknown key", hint=_meant(section, owner, key, place))
        if not (isinstance(inner, type) and issubclass(inner, Section)):
            return ConfigError(".".join(path), _expectation(owner, key, problem), hint=description(owner, key))
        owner = inner
    return ConfigError(".".join(path) or "recipe", f"expected keys and values, got {problem['input']!r}")


def fields_called(section: type[Section], name: str, place: str = "") -> list[str]:
    """Dotted names of the fields below a section that have this name, or the one that edgetl has for it."""
    return _fields(section, place).get(_USUAL.get(name, name), [])


def every_field(section: type[Section]) -> dict[str, tuple[str, ...]]:
    """Dotted names of all fields below a section, each with its values where these are words."""
    found: dict[str, tuple[str, ...]] = {}
    for names in _fields(section, "").values():
        for name in names:
            *sections, key = name.split(".")
            owner = section
            for each in sections:
                inner = owner.model_fields[each].annotation
                assert isinstance(inner, type)
                assert issubclass(inner, Section)
                owner = inner
            found[name] = _words_of(owner.model_json_schema()["properties"][key])
    return found


def _words_of(schema: dict[str, Any]) -> tuple[str, ...]:
    if schema.get("type") == "boolean":
        return ("true", "false")
    every = [schema, *schema.get("anyOf", ()), schema.get("items", {})]
    return tuple(
        str(word) for each in every for word in (*each.get("enum", ()), *([each["const"]] if "const" in each else ()))
    )


def _fields(section: type[Section], place: str) -> dict[str, list[str]]:
    """Dotted names of all fields below a section, by their last part."""
    found: dict[str, list[str]] = {}
    for key, field in section.model_fields.items():
        name, inner = f"{place}.{key}" if place else key, field.annotation
        below = _fields(inner, name) if isinstance(inner, type) and issubclass(inner, Section) else {key: [name]}
        for last, names in below.items():
            found.setdefault(last, []).extend(names)
    return found


def _meant(section: type[Section], owner: type[Section], key: str, place: str) -> str:
    """What an unknown key may have meant: a field of that name elsewhere, or one with a name like it."""
    everywhere, wanted = _fields(section, place), _USUAL.get(key, key)
    if wanted in owner.model_fields:
        return _did_you_mean([wanted])
    if named := fields_called(section, key, place):
        return _did_you_mean(named)
    if near := nearest(key, list(owner.model_fields), cutoff=0.6):
        return _did_you_mean(near)
    if near := nearest(key, list(everywhere), cutoff=0.75):  # elsewhere, a likeness means less
        return _did_you_mean(everywhere[near[0]])
    return "Known keys: " + ", ".join(owner.model_fields) + "."


def _did_you_mean(names: list[str]) -> str:
    *most, last = (f"'{name}'" for name in names)
    return f"Did you mean {', '.join(most)} or {last}?" if most else f"Did you mean {last}?"


def description(owner: type[Section], key: str) -> str:
    """What the documentation of a field says; empty for an unknown key."""
    field = owner.model_fields.get(key)
    return (field.description or "") if field else ""


def _expectation(owner: type[Section], key: str, problem: dict[str, Any]) -> str:
    if problem["type"] == "missing":
        return "is required"
    return f"expected {allowed(owner, key)}, got {problem['input']!r}"


def allowed(owner: type[Section], key: str) -> str:
    """The values that a field takes, in words."""
    return _allowed(owner.model_json_schema()["properties"].get(key, {}))


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
        return f" between {_plain(low)} and {_plain(high)}" if strict else f" from {_plain(low)} to {_plain(high)}"
    return f" of at least {_plain(low)}" if low is not None else ""


def _plain(bound: float) -> str:
    return str(int(bound)) if float(bound).is_integer() else f"{bound:g}"
