"""Write TFLite with LiteRT's converter for PyTorch; no TensorFlow is involved."""

from pathlib import Path

import torch

from edgetl.embedding import embed_in_tflite
from edgetl.export.deployable import Deployable
from edgetl.runner.contract import Contract
from edgetl.zoo.torchvision_ops import ensure_torchvision

__all__ = ["write_tflite"]


def write_tflite(deployable: Deployable, contract: Contract, batch: int, file: Path) -> None:
    """Write a `.tflite` file for exactly `batch` images a call."""
    ensure_torchvision()
    import litert_torch

    example = torch.zeros(batch, contract.height, contract.width, 3, dtype=torch.uint8)
    litert_torch.convert(deployable, sample_kwargs={"image": example}).export(str(file))
    embed_in_tflite(file, contract)
