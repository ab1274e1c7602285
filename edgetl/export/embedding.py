"""Write the contract into an artifact, so that the file explains itself wherever it goes.

Each format has its own place for such a note: ONNX `metadata_props`, OpenVINO `rt_info`, a TFLite metadata buffer. The
runner's backends read it back.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

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


def embed_in_tflite(file: Path, contract: Contract) -> None:
    """Write the contract into a TFLite file, in place of one that is there."""
    with edited_tflite(file) as model:
        _metadata_buffer(model).data = contract.to_json().encode()


@contextmanager
def edited_tflite(file: Path) -> Iterator[Any]:
    """Give a TFLite file as a `ModelT` of its schema; what was changed inside is written back whole."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    content = file.read_bytes()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    for stored in model.buffers:
        if stored.offset > 1:  # large buffers lie behind the table, at places that move when it grows: take them in
            stored.data = np.frombuffer(content, np.uint8, stored.size, stored.offset)
            stored.offset = stored.size = 0
    yield model
    builder = flatbuffers.Builder(len(content) + (1 << 16))
    builder.Finish(model.Pack(builder), b"TFL3")
    write_atomic(file, bytes(builder.Output()))


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
