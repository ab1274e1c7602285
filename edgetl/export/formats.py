"""Which formats are exported, and how their files end."""

from edgetl.devices.profiles import Target
from edgetl.errors import ConfigError
from edgetl.recipe.fields import ExportConfig, Format

__all__ = ["SUFFIX", "chosen_formats"]

SUFFIX: dict[Format, str] = {"onnx": ".onnx", "tflite": ".tflite", "openvino": ".xml"}


def chosen_formats(config: ExportConfig, target: Target) -> tuple[Format, ...]:
    """The formats that the recipe asks for.

    Raises:
        ConfigError: One of them is not in the target's profile.
    """
    if config.formats == "auto":
        return target.formats
    for name in config.formats:
        if name not in target.formats:
            raise ConfigError(
                "export.formats", f"{target.name} does not run {name}; it runs {', '.join(target.formats)}"
            )
    return config.formats
