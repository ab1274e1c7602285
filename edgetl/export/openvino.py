"""Write OpenVINO IR: an `.xml` with the graph and a `.bin` with the weights."""

from pathlib import Path

import torch

from edgetl.export.embedding import embed_in_openvino
from edgetl.runner.contract import Contract
from edgetl.runner.telemetry import switch_off_telemetry

__all__ = ["write_openvino"]


def write_openvino(program: torch.export.ExportedProgram, contract: Contract, file: Path) -> None:
    """Write a traced graph as `file` (.xml) and its `.bin`, with any batch size and weights in float32."""
    switch_off_telemetry()
    import openvino

    model = openvino.convert_model(program)
    model.reshape({0: openvino.PartialShape([-1, contract.height, contract.width, 3])})
    model.inputs[0].get_tensor().set_names({"image"})
    model.outputs[0].get_tensor().set_names({"probabilities"})
    embed_in_openvino(model, contract)
    openvino.save_model(model, file, compress_to_fp16=False)
