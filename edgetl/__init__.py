"""From a folder of images to a small, fast, proven classifier on an edge device.

```python
import edgetl

recipe = edgetl.Recipe.load(settings={"data.path": "photos", "target": "rpi4"})
run = edgetl.run(recipe, "runs/photos")
model = edgetl.Model.open(run.path / "model.w8a8.tflite")
print(model.predict("cat.jpg").top(3))
```

Importing this package loads neither torch nor a runtime; the names below are found when first used.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetl.runner import __version__

if TYPE_CHECKING:
    from edgetl.chain.api import run as run
    from edgetl.errors import EdgetlError as EdgetlError
    from edgetl.recipe.fields import Recipe as Recipe
    from edgetl.runner.contract import Contract as Contract
    from edgetl.runner.model import Model as Model
    from edgetl.runner.model import Prediction as Prediction
    from edgetl.runs.folder import RunFolder as RunFolder

__all__ = [
    "Contract",
    "EdgetlError",
    "Model",
    "Prediction",
    "Recipe",
    "RunFolder",
    "__version__",
    "open_run",
    "run",
]

_HOMES = {
    "Contract": "edgetl.runner.contract",
    "EdgetlError": "edgetl.errors",
    "Model": "edgetl.runner.model",
    "Prediction": "edgetl.runner.model",
    "Recipe": "edgetl.recipe.fields",
    "RunFolder": "edgetl.runs.folder",
    "run": "edgetl.chain.api",
}


def open_run(path: Path | str) -> "RunFolder":
    """Open an existing run folder; its manifest is checked.

    Raises:
        RunFolderError: It is missing, is no run folder, is damaged, or was written by another edgetl.
    """
    from edgetl.runs.folder import RunFolder

    return RunFolder.open(Path(path))


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgetl' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
