"""Recipes in and out: YAML and flags to a checked recipe, problems to one line, a recipe to commented YAML."""

import difflib
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from edgetl.config import Recipe, Section
from edgetl.errors import ConfigError

__all__ = [
    "build",
    "digits_recipe",
    "load_recipe",
    "nearest",
    "preset_values",
    "read_losses",
    "read_settings",
    "recipe_template",
    "with_values",
]

# Handwritten digits are 8 x 8 pixels, must not be mirrored, and have no pretrained teacher.
_DIGITS: dict[str, Any] = {
    "data": {"path": "digits", "image_size": 16, "resize": "squash"},
    "augment": {"crop_area": 0.9, "flip": False, "rotate_degrees": 12.0, "shift_fraction": 0.1, "colour": 0.0},
    "teacher": {"model": "resnet50", "weights": "none", "epochs": 7, "learning_rate": 0.001},
    "student": {"model": "mobilenetv2", "weights": "none", "epochs": 12, "learning_rate": 0.004},
}


def digits_recipe() -> dict[str, Any]:
    """The embedded recipe that runs when neither a recipe nor `--data` is given, as plain data."""
    return {section: dict(values) for section, values in _DIGITS.items()}


# How much training buys the student; docs/distillation.md has what each gains and costs.
_PRESETS: dict[str, dict[str, Any]] = {
    "fast": {"student.epochs": 15, "student.resize_from": 0.6},
    "balanced": {"student.epochs": 60, "student.resize_from": 0.6},
    "patient": {
        "student.epochs": 300,
        "distill.mixup": 0.5,
        "student.resize_from": 0.6,
        "student.average_decay": 0.999,
    },
}


def preset_values(name: str) -> dict[str, Any]:
    """What a preset sets, by dotted name.

    Raises:
        ConfigError: There is no such preset.
    """
    if name not in _PRESETS:
        hint = "A recipe's file is given without the flag." if name.endswith((".yaml", ".yml")) else ""
        raise ConfigError("--recipe", f"expected one of {', '.join(_PRESETS)}, got {name!r}", hint=hint)
    return dict(_PRESETS[name])


def read_losses(text: str) -> dict[str, Any]:
    """Read `kd=0.9,hard=0.1`; a loss without a weight has 1.

    Raises:
        ConfigError: A weight is no number, or a loss comes twice.
    """
    weights: dict[str, Any] = {}
    for part in text.split(","):
        name, _, weight = (piece.strip() for piece in part.partition("="))
        if name in weights:
            raise ConfigError("--loss", f"{name} comes twice")
        try:
            weights[name] = float(weight) if weight else 1.0
        except ValueError:
            raise ConfigError("--loss", f"expected a number behind {name}=, got {weight!r}") from None
    return weights


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
            return ConfigError(".".join(path), _expectation(owner, key, problem), hint=_description(owner, key))
        owner = inner
    return ConfigError(".".join(path) or "recipe", f"expected keys and values, got {problem['input']!r}")


def _description(owner: type[Section], key: str) -> str:
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


def load_recipe(path: Path | None) -> dict[str, Any]:
    """Read a recipe file as plain data; without a path, an empty recipe.

    Raises:
        ConfigError: The file is missing, is no YAML, or holds no keys.
    """
    if path is None:
        return {}
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(str(path), "no such recipe", hint="'edgetl init' writes one.") from None
    except (OSError, UnicodeDecodeError) as cause:
        raise ConfigError(str(path), f"cannot be read ({cause})") from cause
    except yaml.YAMLError as cause:
        raise ConfigError(str(path), f"is not valid YAML ({' '.join(str(cause).split())})") from cause
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(str(path), "expected keys and values at the top")
    return data


def read_settings(settings: list[str]) -> dict[str, Any]:
    """Read `a.b=c` settings: values by dotted name, each read as YAML.

    Raises:
        ConfigError: A setting has no '=', or a value is no YAML.
    """
    values: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError("--set", f"expected a.b=c, got {setting!r}")
        try:
            values[name.strip()] = yaml.safe_load(text)
        except yaml.YAMLError as cause:
            raise ConfigError("--set", f"{text!r} is not a YAML value") from cause
    return values


def with_values(data: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Lay values by dotted name over a recipe's plain data.

    Raises:
        ConfigError: A name goes through something that is no section.
    """
    merged = {key: dict(value) if isinstance(value, dict) else value for key, value in data.items()}
    for name, value in values.items():
        *sections, last = name.split(".")
        place = merged
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise ConfigError(name, f"'{section}' is no section of the recipe")
        place[last] = value
    return merged


def recipe_template(recipe: Recipe) -> str:
    """Write a recipe as YAML with every field's documentation beside it; reading it back gives the same recipe."""
    lines = ["# An edgetl recipe. Every line may be left out; what is left out has the value of 'edgetl init'.", ""]
    for name, field in type(recipe).model_fields.items():
        value = getattr(recipe, name)
        if isinstance(value, Section):
            lines += ["", f"# {(type(value).__doc__ or '').strip()}", f"{name}:"]
            lines += [line for key in type(value).model_fields for line in _template_field(value, key, "  ")]
        else:
            lines += [f"# {field.description}", f"{name}: {_yaml(value)}"]
    return "\n".join(lines) + "\n"


def _template_field(section: Section, key: str, indent: str) -> list[str]:
    return [f"{indent}# {_description(type(section), key)}", f"{indent}{key}: {_yaml(getattr(section, key))}"]


def _yaml(value: Any) -> str:
    plain = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(plain, default_flow_style=True, width=10_000).removesuffix("\n").removesuffix("\n...")
