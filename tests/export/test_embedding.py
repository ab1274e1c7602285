"""The contract inside a file: one entry, nothing else changed."""

from dataclasses import replace

import flatbuffers
import numpy as np
import onnx
import pytest
import tiny
from ai_edge_litert import schema_py_generated as schema

from edgetl.export.embedding import edited_tflite, embed_in_onnx, embed_in_openvino, embed_in_tflite
from edgetl.runner.backends import open_model
from edgetl.runner.backends.base import Session
from edgetl.runner.contract import METADATA_KEY
from edgetl.runner.telemetry import switch_off_telemetry

OTHER = replace(tiny.CONTRACT, labels=("eins", "zwei", "drei", "größer"), filter="bicubic")
IMAGES = tiny.some_images(3)


def opened(file):
    return open_model(file, Session(threads=1))


def embed(format_name, file, contract):
    if format_name == "tflite":
        with edited_tflite(file, file) as model:
            embed_in_tflite(model, contract)
    elif format_name == "onnx":
        model = onnx.load(file)
        embed_in_onnx(model, contract)
        onnx.save(model, file)
    else:
        switch_off_telemetry()
        import openvino

        # The weights go with it: the library keeps the old file open.
        model = openvino.Core().read_model(file.read_bytes(), file.with_suffix(".bin").read_bytes())
        embed_in_openvino(model, contract)
        openvino.save_model(model, file, compress_to_fp16=False)


@pytest.mark.parametrize("before", [None, tiny.CONTRACT.to_json()], ids=["none", "another"])
@pytest.mark.parametrize("format_name", tiny.FILE_OF_FORMAT)
def test_the_last_contract_is_the_one_that_is_read(format_name, before, tmp_path):
    file = tiny.build(format_name, tmp_path, before)
    expected = opened(file).run(IMAGES)
    for _ in range(2):
        embed(format_name, file, OTHER)
    model = opened(file)
    assert model.contract_json() == OTHER.to_json()
    np.testing.assert_array_equal(model.run(IMAGES), expected)


def test_onnx_keeps_other_notes(tmp_path):
    model = onnx.load(tiny.build("onnx", tmp_path))
    model.metadata_props.add(key="author", value="Ann")
    embed_in_onnx(model, OTHER)
    embed_in_onnx(model, OTHER)
    assert {entry.key: entry.value for entry in model.metadata_props} == {
        "author": "Ann",
        METADATA_KEY: OTHER.to_json(),
    }
    assert len(model.metadata_props) == 2


def unpacked(file):
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(file.read_bytes(), 0))


def packed(model):
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_tflite_has_one_entry_beside_other_notes(tmp_path):
    file = tiny.build("tflite", tmp_path)
    model = unpacked(file)
    note = schema.MetadataT()
    note.name, note.buffer = "min_runtime_version", 0
    model.metadata.append(note)
    file.write_bytes(packed(model))
    for _ in range(3):
        embed("tflite", file, OTHER)
    found = unpacked(file)
    assert sorted(entry.name.decode() for entry in found.metadata) == sorted([METADATA_KEY, "min_runtime_version"])
    assert len(found.buffers) == len(model.buffers), "an old contract stays nowhere in the file"


@pytest.fixture
def weights_behind_the_table(tmp_path):
    """A TFLite file whose buffers are not in the flatbuffer but after it, as writers of large files do."""
    file = tiny.build("tflite", tmp_path, None)
    model = unpacked(file)
    stored = [(buffer, bytes(buffer.data)) for buffer in model.buffers if buffer.data is not None]
    for buffer, content in stored:
        buffer.data, buffer.offset, buffer.size = None, 2, len(content)  # any offset: the table keeps its length
    end = len(packed(model))
    behind = b""
    for buffer, content in stored:
        behind += bytes(-(end + len(behind)) % 16)
        buffer.offset = end + len(behind)
        behind += content
    file.write_bytes(packed(model) + behind)
    return file


def test_tflite_weights_behind_the_table_are_not_lost(weights_behind_the_table):
    file = weights_behind_the_table
    expected, size_bytes = opened(file).run(IMAGES), file.stat().st_size
    np.testing.assert_allclose(expected, tiny.reference(IMAGES), atol=1e-5)
    for _ in range(2):
        embed("tflite", file, OTHER)
        np.testing.assert_array_equal(opened(file).run(IMAGES), expected)
    assert file.stat().st_size >= size_bytes
    assert opened(file).contract_json() == OTHER.to_json()
