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


_EPOCHS = ("epochs", "tuning_epochs")
"""Of a training in full, and of one from a fitted head."""

_NUMBERS = ("seed", "prune", "max_drop")


def recipe_fields(*, section: str = "student", **given: Any) -> dict[str, Any]:
    """Turn flags into `section.field` values of the recipe; flags that are not given leave the recipe unchanged.

    Args:
        section: Of the network that `epochs` and `batch_size` are for.
        given: Values by the flags' names; None or False for those that are not given.

    Raises:
        ConfigError: A flag says something impossible.
    """
    from edgetl.recipe.networks import usual_weights
    from edgetl.recipe.presets import preset_values, read_losses, read_minutes
    from edgetl.recipe.reading import parsed_value
    from edgetl.runs.folder import run_folders

    for name, value in given.items():
        if value == "":
            raise ConfigError(f"--{name.replace('_', '-')}", "is empty", hint="Leave it out, or give it a value.")
    preset, loss, control = (given.pop(name, None) for name in ("preset", "loss", "control"))
    time, epochs, batch_size = (given.pop(name, None) for name in ("time", "epochs", "batch_size"))
    flags = preset_values(preset) if preset else {}
    if epochs is not None:
        flags |= dict.fromkeys((f"{section}.{name}" for name in _EPOCHS), _whole("--epochs", epochs))
    if batch_size is not None:
        flags[f"{section}.batch_size"] = _whole("--batch-size", batch_size)
    for name, value in given.items():
        if value is not None:
            is_number = name in _NUMBERS
            flags[_PLACES.get(name, name)] = parsed_value(f"--{name.replace('_', '-')}", value) if is_number else value
    if loss:
        flags["distill.loss"] = read_losses(loss)
    if time is not None:
        flags["train_minutes"] = read_minutes(time)
    if control:
        flags["control.seeds"] = _CONTROL_SEEDS
    weights = usual_weights(flags.pop("weights", None))
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


def _whole(flag: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(flag, f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def asked_recipe(what: Path | None, flags: dict[str, Any], settings: list[str] | None) -> "Recipe":
    """Put together the recipe: the file or the embedded one, then flags, then --set.

    Args:
        what: A recipe's file, or a folder of images; None for neither.
        flags: From `recipe_fields`.
        settings: Those of --set.

    Raises:
        ConfigError: One of them says something impossible.
    """
    from edgetl.recipe.fields import Recipe
    from edgetl.recipe.reading import read_settings

    if what is None or _is_recipe(what):
        return Recipe.load(what, flags | read_settings(settings or []))
    if "data.path" in flags:
        problem = f"is taken for a folder of images, and --data {flags['data.path']} for another"
        raise ConfigError(str(what), problem, hint="Give one of them.")
    return Recipe.load(None, {"data.path": str(what)} | flags | read_settings(settings or []))


def _is_recipe(what: Path) -> bool:
    """Whether it is the file of a recipe rather than a folder of images."""
    if what.suffix in (".yaml", ".yml"):
        return True
    if (what / "manifest.json").is_file():
        hint = "With it go on export, quantize, verify, bench, explain and report."
        raise ConfigError(str(what), "is a run folder, not one of images", hint=hint)
    if what.is_dir() or str(what) == "digits":
        return False
    if what.suffix in (".zip", ".tar", ".gz", ".tgz") and what.exists():
        raise ConfigError(str(what), "is packed", hint="Unpack it, and give the folder.")
    if what.exists():
        raise ConfigError(str(what), "is neither a folder of images nor a recipe (.yaml)")
    hint = "Your images are class folders in a folder: photos/cat, photos/dog. 'edgetl init' writes a recipe."
    raise ConfigError(str(what), "no such folder or recipe", hint=hint)
