"""Make torchvision importable next to a build of torch that its compiled operators do not match.

PyPI's torchvision wheel is a CUDA build. With a CPU build of torch its library does not load, and `import torchvision`
(and so `import timm`) fails with "operator torchvision::nms does not exist" (pytorch/vision#9077). Models and
transforms need none of those operators. Declaring the two for which torchvision registers fake kernels is enough.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from edgetl.errors import MissingExtra

__all__ = ["ensure_torchvision"]

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@cache
def ensure_torchvision() -> Any:
    """Declare the missing operators if, and only if, torchvision's own library does not load.

    Call it before the first import of timm, torchvision or litert_torch.

    Returns:
        The library that holds the declarations, which must live as long as the process; None if none were needed.

    Raises:
        MissingExtra: torchvision is not installed.
    """
    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise MissingExtra("torchvision", "train")
    if hasattr(torch.ops.torchvision, "nms") or _compiled_library_loads(Path(spec.origin).parent):
        return None
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for schema in _SCHEMAS:
        library.define(schema)  # type: ignore[no-untyped-call]
    return library


def _compiled_library_loads(package: Path) -> bool:
    for file in sorted(package.glob("_C*.so")) + sorted(package.glob("_C*.pyd")):
        try:
            torch.ops.load_library(str(file))  # type: ignore[no-untyped-call]
        except OSError:  # linked against another torch
            return False
        return hasattr(torch.ops.torchvision, "nms")
    return False
