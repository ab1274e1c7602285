"""Write ONNX: opset 18, IR 8, which ONNX Runtime reads since 1.14."""

from pathlib import Path

import onnx
import torch

from edgetl.devices.profiles import Target
from edgetl.errors import ConfigError
from edgetl.export.embedding import embed_in_onnx
from edgetl.runner.contract import Contract

__all__ = ["write_onnx"]

_OPSET, _IR = 18, 8


def write_onnx(program: torch.export.ExportedProgram, contract: Contract, target: Target, file: Path) -> None:
    """Write a traced graph as one ONNX file with any batch size.

    Raises:
        ConfigError: The target's runtime is too old for the file.
    """
    runtime = target.runtimes["onnx"]
    for name, needed, has in (("opset", _OPSET, runtime.max_opset), ("IR version", _IR, runtime.max_ir)):
        if has is not None and has < needed:
            raise ConfigError(f"{target.name}.runtimes.onnx", f"reads {name} up to {has}, the file needs {needed}")
    exported = torch.onnx.export(
        program, dynamo=True, opset_version=_OPSET, input_names=["image"], output_names=["probabilities"], verbose=False
    )
    if exported is None:
        raise RuntimeError("torch.onnx.export returned no program")
    model = exported.model_proto
    model.ir_version = _IR
    _strip_traces(model)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "N"
    embed_in_onnx(model, contract)
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, file)


def _strip_traces(model: onnx.ModelProto) -> None:
    """Remove the exporter's notes: they hold this machine's paths and grow the file."""
    graph = model.graph
    for item in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del item.metadata_props[:]
        item.doc_string = ""
