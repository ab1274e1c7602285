"""Recipes in: a YAML file and settings of the command line, laid over each other as plain data."""

import stat
from pathlib import Path
from typing import Any

import yaml

from edgetl.errors import ConfigError
from edgetl.recipe.yaml_text import LARGEST_BYTES, parsed

__all__ = ["load_recipe", "parsed_value", "read_settings", "with_values"]


def load_recipe(path: Path | None) -> dict[str, Any]:
    """Read a recipe file as plain data; without a path, an empty recipe.

    Raises:
        ConfigError: The file is missing, is no YAML, or holds no keys.
    """
    if path is None:
        return {}
    try:
        data = parsed(_text_of(path))
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


def _text_of(path: Path) -> str:
    """The text of a file that is one, and no larger than a recipe."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(str(path), "is no regular file")
    if status.st_size > LARGEST_BYTES:
        raise ConfigError(str(path), f"is no recipe: it has {status.st_size:,} bytes, and a recipe a few thousand")
    return path.read_text(encoding="utf-8")


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
        values[name.strip()] = parsed_value("--set", text)
    return values


def parsed_value(flag: str, text: str) -> Any:
    """A value of the command line, read as YAML.

    Raises:
        ConfigError: It is none.
    """
    try:
        return parsed(text)
    except yaml.YAMLError as cause:
        raise ConfigError(flag, f"{text!r} is not a YAML value") from cause


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
