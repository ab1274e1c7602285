"""Recipes in: a YAML file and settings of the command line, laid over each other as plain data."""

from pathlib import Path
from typing import Any

import yaml

from edgetl.errors import ConfigError

__all__ = ["load_recipe", "read_settings", "with_values"]


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
