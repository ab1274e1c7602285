"""The reader of TFLite metadata finds what is there and survives any damage."""

import numpy as np
import pytest
import tiny

from edgetl.runner.contract import METADATA_KEY
from edgetl.runner.errors import BrokenModel
from edgetl.runner.tflite_metadata import read_metadata


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny.build("tflite", tmp_path_factory.mktemp("tflite"))


def test_an_entry_is_found_by_its_name(model):
    assert read_metadata(model, METADATA_KEY) == tiny.CONTRACT.to_json()
    assert read_metadata(model, "edgetl.contrac") is None


def test_a_file_cut_anywhere_is_an_error_or_still_whole(model, tmp_path):
    content, cut = model.read_bytes(), tmp_path / "cut.tflite"
    refused = 0
    for length in range(len(content)):
        cut.write_bytes(content[:length])
        try:
            assert read_metadata(cut, METADATA_KEY) in (None, tiny.CONTRACT.to_json())
        except BrokenModel:
            refused += 1
    assert refused > len(content) // 2


def test_random_damage_is_an_error_and_never_a_crash(model, tmp_path):
    content, damaged = np.frombuffer(model.read_bytes(), np.uint8), tmp_path / "damaged.tflite"
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(2000):
        bytes_now = content.copy()
        bytes_now[rng.integers(0, content.size, size=20)] = rng.integers(0, 256, size=20)
        damaged.write_bytes(bytes_now.tobytes())
        try:
            read_metadata(damaged, METADATA_KEY)
        except BrokenModel:
            refused += 1
    assert refused > 100


def test_a_length_beyond_the_end_is_refused_rather_than_cut(model, tmp_path):
    content, longer = bytearray(model.read_bytes()), tmp_path / "longer.tflite"
    start = content.index(tiny.CONTRACT.to_json().encode())
    content[start - 4 : start] = (len(content)).to_bytes(4, "little")
    longer.write_bytes(content)
    place = rf"position {start + len(content)} of {len(content)}"
    with pytest.raises(BrokenModel, match=rf"longer\.tflite: not a complete TFLite model \({place}\)"):
        read_metadata(longer, METADATA_KEY)


def test_what_is_no_tflite_file_is_named(tmp_path):
    other = tmp_path / "other.tflite"
    other.write_bytes(b"PK\x03\x04 a zip file")
    with pytest.raises(BrokenModel, match=r"other\.tflite: not a complete TFLite model \(it does not start as one\)"):
        read_metadata(other, METADATA_KEY)
    other.write_bytes(b"")
    with pytest.raises(BrokenModel, match=r"other\.tflite: cannot be read"):
        read_metadata(other, METADATA_KEY)
    with pytest.raises(BrokenModel, match=r"gone\.tflite: cannot be read"):
        read_metadata(tmp_path / "gone.tflite", METADATA_KEY)
