"""Device profiles from `targets/*.yaml`: what a device is, and which files its runtimes can read."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from edgetl.errors import ConfigError
from edgetl.recipe.checking import build, nearest
from edgetl.recipe.fields import FORMATS, Format
from edgetl.recipe.reading import load_recipe
from edgetl.recipe.section import Section

__all__ = ["Runtime", "Target", "find_target", "known_targets", "target_text"]


class Runtime(Section):
    """The oldest release of a format's runtime that the device is expected to have."""

    package: str
    """Name on PyPI."""

    version: str
    """Oldest supported release."""

    max_ir: int | None = Field(None, ge=3)
    """Highest ONNX IR version that it loads."""

    max_opset: int | None = Field(None, ge=7)
    """Highest ONNX opset that it runs."""


class Target(Section):
    """One device."""

    name: str
    """What '--target' takes."""

    title: str
    """What people call it."""

    cpu: str
    """Cores, clock and instruction set, for readers."""

    architecture: Literal["aarch64", "x86_64"]
    """As 'uname -m' prints it."""

    threads: int = Field(ge=1, le=256)
    """Threads that a benchmark uses."""

    memory_mb: int = Field(ge=64)
    """Main memory, in MB."""

    int8_dot_product: bool
    """Whether the CPU multiplies and adds 8-bit integers without a 16-bit sum in between."""

    runtimes: dict[Format, Runtime]
    """The formats that it runs, each with its runtime."""

    @property
    def formats(self) -> tuple[Format, ...]:
        """The formats that this device runs, in the order used everywhere."""
        return tuple(name for name in FORMATS if name in self.runtimes)


def _folder() -> Path:
    """Where the profiles are: inside an installed wheel, or at the top of a checkout."""
    here = Path(__file__).parents[1]
    inside = here / "_targets"
    return inside if inside.is_dir() else here.parent / "targets"


def known_targets() -> list[Target]:
    """All profiles that come with edgetl, by name."""
    return [_read(file) for file in sorted(_folder().glob("*.yaml"))]


def find_target(name: str) -> Target:
    """Find a profile by name, or read one from a YAML file.

    Raises:
        ConfigError: No such target (the nearest names are offered), or the file says something impossible.
    """
    return _read(_file(name))


def target_text(name: str) -> str:
    """The YAML of a profile.

    Raises:
        ConfigError: As `find_target`.
    """
    find_target(name)
    return _file(name).read_text(encoding="utf-8")


_OTHERS = "Known targets: {}. For another device, start from one: edgetl targets rpi4 > mine.yaml"


def _file(name: str) -> Path:
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    names = [file.stem for file in sorted(_folder().glob("*.yaml"))]
    if name not in names:
        near = nearest(name, names, 3)
        hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else _OTHERS.format(", ".join(names))
        raise ConfigError("target", f"no target named {name!r}", hint=hint)
    return _folder() / f"{name}.yaml"


def _read(file: Path) -> Target:
    if not file.is_file():
        raise ConfigError(str(file), "no such target file", hint="'edgetl targets' lists those that come with edgetl.")
    return build(Target, load_recipe(file), file.stem)
