"""How long conversions will take on this machine, told before they start."""

import time
from collections.abc import Iterable

import torch

from edgetl.recipe.fields import Format

__all__ = ["conversion_seconds"]

_CALLS: dict[Format, float] = {"onnx": 9.0, "openvino": 7.5, "tflite": 17.0}
"""What a call of a traced network costs to convert, in those of tracing a call of a plain one: medians of MobileNets, a
ResNet, an EfficientNet and a ViT, which lie within a third of them."""

_LOADING: dict[Format, float] = {"onnx": 130.0, "openvino": 70.0, "tflite": 800.0}
"""What it costs to load the converter, in the same unit."""

_PLAIN_LAYERS = 16


def conversion_seconds(program: torch.export.ExportedProgram, formats: Iterable[Format]) -> float:
    """Estimate how long a traced network takes to be written in each of the formats."""
    calls, unit_s = len(program.graph.nodes), _seconds_a_call()
    return sum((_LOADING[name] + _CALLS[name] * calls) * unit_s for name in formats)


def _seconds_a_call() -> float:
    """Seconds that tracing takes for each call of a plain network."""
    layers = [part for _ in range(_PLAIN_LAYERS) for part in (torch.nn.Conv2d(4, 4, 3), torch.nn.ReLU())]
    network, images = torch.nn.Sequential(*layers).eval(), torch.zeros(2, 4, 64, 64)
    start = time.perf_counter()
    program = torch.export.export(network, (images,))
    return (time.perf_counter() - start) / len(program.graph.nodes)
