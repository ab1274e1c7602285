"""The part that runs on a device: predict, verify, time and profile one artifact, without the rest of edgetl.

Needs Python 3.9, NumPy, Pillow and one runtime. It is also a distribution of its own, `edgetl-runner`, imported as
`edgetl_runner`. Its command line prints raw samples and facts as JSON; statistics and verdicts are the host's.
`python -m edgetl.runner --help` shows its commands. In Python:

    Model.open("model.w8a8.tflite").predict("cat.jpg").label

Importing this package loads nothing; the names below are found when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import RunnerError as RunnerError
    from .model import Model as Model
    from .model import Prediction as Prediction

__all__ = ["Model", "Prediction", "RunnerError", "__version__"]

__version__ = "0.1.0"
"""Also edgetl's: both are built from one tree."""

_HOMES = {"Model": ".model", "Prediction": ".model", "RunnerError": ".errors"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
