"""What the shell offers when Tab is pressed: names, run folders, and the recipe's fields with their values."""

from collections.abc import Callable, Iterable
from pathlib import Path

__all__ = [
    "folders",
    "formats",
    "models",
    "presets",
    "run_folders",
    "schemes",
    "settings",
    "strategies",
    "targets",
    "teachers",
    "weights",
]

_MOST = 200
"""Folders that are looked at."""


def run_folders(incomplete: str) -> list[str]:
    """Run folders at the path that was begun, and in `runs/`."""
    return _runs_below(incomplete) or (_runs_below("runs/") if not incomplete else [])


def folders(incomplete: str) -> list[str]:
    """Folders at the path that was begun."""
    return [str(path) for path in _folders_at(incomplete)]


def models(incomplete: str) -> list[str]:
    """Short names of models, and those of timm once a letter is typed."""
    from edgetl.zoo.names import ALIASES

    short = _begun(ALIASES, incomplete)
    if short or not incomplete:
        return short
    import timm

    return _begun(timm.list_models(pretrained=True), incomplete)


def teachers(incomplete: str) -> list[str]:
    """Models, `auto`, and run folders; each part between commas is completed."""
    before, comma, last = incomplete.rpartition(",")
    return [before + comma + each for each in (*_begun(["auto"], last), *models(last), *run_folders(last))]


def weights(incomplete: str) -> list[str]:
    """The words, and files."""
    files = Path(incomplete).parent.glob("*.safetensors")
    return _begun(["default", "none", *map(str, files)], incomplete)


def targets(incomplete: str) -> list[str]:
    """Names of devices."""
    from edgetl.devices.profiles import known_targets

    return _begun([target.name for target in known_targets()], incomplete)


def settings(incomplete: str) -> list[str]:
    """The recipe's fields; behind `=`, the values of one that has few."""
    from edgetl.recipe.checking import every_field
    from edgetl.recipe.fields import Recipe

    fields = every_field(Recipe)
    name, equals, _ = incomplete.partition("=")
    if not equals:
        return _begun([f"{each}=" for each in fields], incomplete)
    return _begun([f"{name}={value}" for value in fields.get(name, ())], incomplete)


def _words(*known: str) -> Callable[[str], list[str]]:
    def offered(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [before + comma + each for each in _begun(known, last)]

    return offered


presets = _words("fast", "balanced", "patient")
strategies = _words("auto", "features", "partial", "gradual", "full", "lpft", "lora")
formats = _words("onnx", "tflite", "openvino")
schemes = _words("int8", "fp16", "w8", "dynamic")


def _runs_below(incomplete: str) -> list[str]:
    return [str(path) for path in _folders_at(incomplete) if (path / "manifest.json").is_file()]


def _folders_at(incomplete: str) -> list[Path]:
    place = Path(incomplete)
    place, start = (place, "") if incomplete.endswith("/") else (place.parent, place.name)
    if not place.is_dir():
        return []
    found = sorted(path for path in place.iterdir() if path.name.startswith(start) and not path.name.startswith("."))
    return [path for path in found[:_MOST] if path.is_dir()]


def _begun(known: Iterable[str], incomplete: str) -> list[str]:
    return [each for each in known if each.startswith(incomplete)]
