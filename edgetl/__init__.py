"""From a folder of images to a small, fast, proven classifier on an edge device.

Importing this package loads neither torch nor a runtime; the names below are found when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgetl.artifact import RunFolder as RunFolder
    from edgetl.config import Recipe as Recipe
    from edgetl.pipeline import run_chain as run_chain
    from edgetl.recipes import load_recipe as load_recipe
    from edgetl.runner.contract import Contract as Contract

__all__ = ["Contract", "Recipe", "RunFolder", "__version__", "load_recipe", "run_chain"]

__version__ = "0.1.0"

_HOMES = {
    "Contract": "edgetl.runner.contract",
    "Recipe": "edgetl.config",
    "RunFolder": "edgetl.artifact",
    "load_recipe": "edgetl.recipes",
    "run_chain": "edgetl.pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgetl' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
