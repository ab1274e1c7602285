"""Write TFLite with LiteRT's converter for PyTorch; no TensorFlow is involved."""

from pathlib import Path
from typing import Any

import torch

from edgetl.export.embedding import edited_tflite, embed_in_tflite
from edgetl.runner.contract import Contract
from edgetl.zoo.deployable import Deployable
from edgetl.zoo.torchvision_ops import ensure_torchvision

__all__ = ["write_tflite"]


def write_tflite(deployable: Deployable, contract: Contract, batch: int, file: Path) -> None:
    """Write a `.tflite` file for exactly `batch` images a call."""
    ensure_torchvision()
    import litert_torch

    example = torch.zeros(batch, contract.height, contract.width, 3, dtype=torch.uint8)
    litert_torch.convert(deployable, sample_kwargs={"image": example}).export(str(file))
    with edited_tflite(file, file) as model:
        _flatten_biases(model)
        embed_in_tflite(model, contract)


def _flatten_biases(model: Any) -> None:
    """Make vectors of the biases `(1, 1, 1, C)` that the converter folds into fully connected layers (ConvNeXt).

    The schema expects vectors; tflite-runtime 2.14 computes a layer with another bias by another kernel.
    """
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    graph = model.subgraphs[0]
    for operator in graph.operators:
        layer = model.operatorCodes[operator.opcodeIndex].builtinCode == BuiltinOperator.FULLY_CONNECTED
        if layer and len(operator.inputs) == 3 and operator.inputs[2] >= 0:
            bias = graph.tensors[operator.inputs[2]]
            bias.shape = [max(bias.shape)]
