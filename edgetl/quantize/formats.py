"""What differs between the formats: the writer of integer files, and the bounds on weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import fx

from edgetl.devices.profiles import Target
from edgetl.quantize.graph import Layer
from edgetl.quantize.plan import Plan
from edgetl.quantize.widths import Width, full_width, paired_width
from edgetl.recipe.fields import Format
from edgetl.runner.contract import Contract

__all__ = ["Quantizer", "quantizer_for", "width_for"]


class Quantizer(Protocol):
    """Writes quantized versions of one float file."""

    def write(self, plan: Plan, contract: Contract, file: Path) -> tuple[str, ...]:
        """Write a plan; returns the names of its layers that had to stay in float."""
        ...

    def write_half(self, contract: Contract, file: Path) -> None:
        """Write the float network with weights in half precision."""
        ...


def quantizer_for(name: Format, source: Path, graph: fx.GraphModule, probes_NHWC: NDArray[np.uint8]) -> Quantizer:
    """Open a float file for quantization.

    Args:
        name: Its format.
        source: The file.
        graph: The folded graph of the same network, as it was traced.
        probes_NHWC: A few images that identify its tensors by their values.
    """
    # One import each, so that a missing extra of one format does not stop another.
    if name == "onnx":
        from edgetl.quantize.onnx import OnnxQuantizer

        return OnnxQuantizer(source, graph, probes_NHWC)
    if name == "tflite":
        from edgetl.quantize.tflite import TfliteQuantizer

        return TfliteQuantizer(source, graph, probes_NHWC)
    from edgetl.quantize.openvino import OpenvinoQuantizer

    return OpenvinoQuantizer(source, graph, probes_NHWC)


def width_for(name: Format, target: Target) -> Callable[[Layer], Width]:
    """The bounds on a format's weights on a target.

    On x86 without dot-product instructions, ONNX Runtime and OpenVINO add products in 16 bits. LiteRT's kernels widen
    first, and on ARM two products of signed numbers fit.
    """
    narrow = target.architecture == "x86_64" and not target.int8_dot_product and name != "tflite"
    return paired_width if narrow else full_width
