"""Recipes that come with edgetl: the digits, what a preset buys, and losses and times as flags say them."""

import re
from typing import Any

from edgetl.errors import ConfigError

__all__ = ["PRESETS", "check_not_of_digits", "digits_recipe", "preset_values", "read_losses", "read_minutes"]

_TIME = re.compile(r"(?:(\d+) ?h)? ?(?:(\d+) ?m(?:in)?)? ?(?:(\d+) ?s)?")

# Handwritten digits are 8 x 8 pixels, must not be mirrored, and have no pretrained teacher.
_DIGITS: dict[str, Any] = {
    "data": {"path": "digits", "image_size": 16, "resize": "squash"},
    "augment": {"crop_area": 0.9, "flip": False, "rotate_degrees": 12.0, "shift_fraction": 0.1, "colour": 0.0},
    "teacher": {"model": "resnet18", "weights": "none", "epochs": 7, "learning_rate": 0.001},
    "student": {"model": "mobilenetv2", "weights": "none", "epochs": 12, "learning_rate": 0.004},
}


def digits_recipe() -> dict[str, Any]:
    """The embedded recipe that runs when neither a recipe nor `--data` is given, as plain data."""
    return {section: dict(values) for section, values in _DIGITS.items()}


def check_not_of_digits(data: dict[str, Any], place: str) -> None:
    """Make sure that a recipe for other images is not the one of the digits, with a path changed.

    Args:
        data: The recipe, as plain data.
        place: Its file.

    Raises:
        ConfigError: All that is special of the digits is still there.
    """
    own = {name: values for name, values in _DIGITS.items() if name != "data"}
    sections = own | {"data": {key: value for key, value in _DIGITS["data"].items() if key != "path"}}
    is_theirs = all(data.get(name, {}).get(key) == value for name, of in sections.items() for key, value in of.items())
    path = data.get("data", {}).get("path", "digits")
    if is_theirs and path != "digits":
        problem = f"was made for the digits (16 px, squashed, no flips, no pretrained weights), not for {path}"
        raise ConfigError(place, problem, hint=f"Make one for it: edgetl init NEW.yaml --data {path}")


# How much training buys the student; docs/distillation.md has what each gains and costs.
PRESETS: dict[str, dict[str, Any]] = {
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
    if name not in PRESETS:
        hint = "A recipe's file is given without the flag." if name.endswith((".yaml", ".yml")) else ""
        raise ConfigError("--recipe", f"expected one of {', '.join(PRESETS)}, got {name!r}", hint=hint)
    return dict(PRESETS[name])


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


def read_minutes(text: str) -> float:
    """Read `90s`, `5m` or `1h30m`, in minutes.

    Raises:
        ConfigError: It is no such time.
    """
    found = _TIME.fullmatch(text.strip())
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    total = 60 * hours + minutes + seconds / 60
    if not total:
        raise ConfigError("--time", f"expected a time such as 90s, 5m or 1h30m, got {text!r}")
    return total
