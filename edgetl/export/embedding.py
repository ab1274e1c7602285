"""Write the contract into an artifact, so that the file explains itself wherever it goes.

Each format has its own place for such a note: ONNX `metadata_props`, OpenVINO `rt_info`, a TFLite metadata buffer. The
runner's backends read it back.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgetl.runner.contract import METADATA_KEY, Contract
from edgetl.runs.files import write_atomic

__all__ = ["edited_tflite", "embed_in_onnx", "embed_in_openvino", "embed_in_tflite"]


def embed_in_onnx(model: Any, contract: Contract) -> None:
    """Set the contract in an `onnx.ModelProto`, in place of one that is there."""
    kept = [entry for entry in model.metadata_props if entry.key != METADATA_KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=METADATA_KEY, value=contract.to_json())


def embed_in_openvino(model: Any, contract: Contract) -> None:
    """Set the contract in an `openvino.Model`."""
    model.set_rt_info(contract.to_json(), METADATA_KEY.split("."))


def embed_in_tflite(model: Any, contract: Contract) -> None:
    """Set the contract in a `ModelT` of TFLite's schema, in place of one that is there."""
    _metadata_buffer(model).data = contract.to_json().encode()


@contextmanager
def edited_tflite(source: Path, file: Path) -> Iterator[Any]:
    """Open a TFLite file as a `ModelT` of its schema; on leaving, the changed model is written to `file`, whole."""
    from ai_edge_litert.tools import flatbuffer_utils

    # Large buffers lie behind the table, at places that move when it grows; reading puts them into the model.
    model = flatbuffer_utils.read_model_from_bytearray(source.read_bytes())
    yield model
    write_atomic(file, bytes(flatbuffer_utils.convert_object_to_bytearray(model)))


def _metadata_buffer(model: Any) -> Any:
    """The buffer of the contract's metadata entry; both are made if there are none."""
    from ai_edge_litert import schema_py_generated as schema

    model.metadata = model.metadata or []
    for entry in model.metadata:
        if entry.name == METADATA_KEY.encode():
            return model.buffers[entry.buffer]
    entry, buffer = schema.MetadataT(), schema.BufferT()
    entry.name, entry.buffer = METADATA_KEY.encode(), len(model.buffers)
    model.metadata.append(entry)
    model.buffers.append(buffer)
    return buffer
