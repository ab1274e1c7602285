"""Files that decode, but not to what was photographed; and files that claim more pixels than there is memory."""

from io import BytesIO
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from edgetl.data.memory import DecodingMemory
from edgetl.data.probe import probe_file
from edgetl.runner.contract import UnreadableImage


@pytest.fixture
def jpeg():
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    content = BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=90)
    return content.getvalue()


def probed(content, tmp_path):
    file = tmp_path / "image.jpg"
    file.write_bytes(content)
    return probe_file(file, DecodingMemory())


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_jpeg_that_was_cut_short_and_closed_is_named(part, jpeg, tmp_path):
    assert probed(jpeg, tmp_path).reason == ""
    cut = jpeg[: int(part * len(jpeg))] + b"\xff\xd9"
    assert "is damaged, and would be grey in parts" in probed(cut, tmp_path).reason


def test_stray_bytes_between_segments_are_no_damage(jpeg, tmp_path):
    assert probed(jpeg[:-2] + b"\x00" * 9 + jpeg[-2:], tmp_path).reason == ""


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_kinds_of_jpeg_are_read(mode, tmp_path):
    content = BytesIO()
    Image.new(mode, (32, 32)).save(content, "JPEG")
    assert probed(content.getvalue(), tmp_path).reason == ""


def test_what_does_not_fit_into_memory_is_named(jpeg, tmp_path):
    file = tmp_path / "image.jpg"
    file.write_bytes(jpeg)
    assert probe_file(file, DecodingMemory(96 * 64 * 10)).reason == ""
    reason = probe_file(file, DecodingMemory(96 * 64 * 10 - 1)).reason
    assert "has 96 x 64 pixels, which take 0.0 GB to decode" in reason


def test_images_wait_for_each_others_memory():
    memory, seen = DecodingMemory(100), []
    with memory.for_pixels(2, 3):
        waiting = Thread(target=lambda: _take(memory, seen))
        waiting.start()
        waiting.join(0.2)
        assert seen == []
    waiting.join(5)
    assert seen == ["taken"]
    with pytest.raises(UnreadableImage), memory.for_pixels(4, 3):
        pass


def _take(memory, seen):
    with memory.for_pixels(2, 3):
        seen.append("taken")
