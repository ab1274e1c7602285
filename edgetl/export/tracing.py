"""The graph of a network for any number of images, as exporters and the quantizer take it."""

import torch

from edgetl.runner.contract import Contract
from edgetl.zoo.deployable import Deployable

__all__ = ["traced"]

_MOST_IMAGES = 1 << 16


def traced(deployable: Deployable, contract: Contract) -> torch.export.ExportedProgram:
    """Trace what is exported, for any batch size.

    Args:
        deployable: In eval mode.
        contract: Says how large an image is.
    """
    example = torch.zeros(2, contract.height, contract.width, 3, dtype=torch.uint8)
    batch = torch.export.Dim("N", min=1, max=_MOST_IMAGES)
    return torch.export.export(deployable, (example,), dynamic_shapes={"image": {0: batch}})
