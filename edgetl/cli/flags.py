"""What the flags of the command line mean in the recipe."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetl.errors import ConfigError

if TYPE_CHECKING:
    from edgetl.recipe.fields import Recipe

__all__ = ["asked_recipe", "recipe_fields"]

_CONTROL_SEEDS = 3
_PLACES = {
    "data": "data.path",
    "teacher": "teacher.model",
    "teacher_weights": "teacher.weights",
    "strategy": "teacher.strategy",
    "student": "student.model",
    "formats": "export.formats",
    "scheme": "quantize.scheme",
    "max_drop": "quantize.max_drop",
    "unlabelled": "distill.unlabelled",
    "prune": "prune.latency",
}


def recipe_fields(**given: Any) -> dict[str, Any]:
    """Turn flags into `section.field` values of the recipe; flags that are not given leave the recipe unchanged.

    Raises:
        ConfigError: A flag says something impossible.
    """
    from edgetl.recipe.presets import preset_values, read_losses, read_minutes
    from edgetl.runs.folder import run_folders

    preset, loss, control = (given.pop(name, None) for name in ("preset", "loss", "control"))
    time = given.pop("time", None)
    flags = preset_values(preset) if preset else {}
    flags |= {_PLACES.get(name, name): value for name, value in given.items() if value is not None}
    if loss:
        flags["distill.loss"] = read_losses(loss)
    if time is not None:
        flags["train_minutes"] = read_minutes(time)
    if control:
        flags["control.seeds"] = _CONTROL_SEEDS
    weights = flags.pop("weights", None)
    if weights is not None:
        flags["student.weights"] = weights
        if not run_folders(flags.get("teacher.model", "")):
            if weights not in ("default", "none"):
                hint = "Say which with --set teacher.weights=FILE or --set student.weights=FILE."
                raise ConfigError("--weights", "a file fits either the teacher or the student", hint=hint)
            flags["teacher.weights"] = weights
    if "export.formats" in flags:
        flags["export.formats"] = [name.strip() for name in flags["export.formats"].split(",")]
    return flags


def asked_recipe(file: Path | None, flags: dict[str, Any], settings: list[str] | None) -> "Recipe":
    """Put together the recipe: the file or the embedded one, then flags, then --set.

    Raises:
        ConfigError: One of them says something impossible.
    """
    from edgetl.recipe.fields import Recipe
    from edgetl.recipe.reading import read_settings

    return Recipe.load(file, flags | read_settings(settings or []))
