"""How files of all kinds become RGB, which everything else builds on."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from edgetl.data.probe import probe_file
from edgetl.runner.contract import UnreadableImage, load_image

UPRIGHT_HWC = np.full((24, 40, 3), 40, np.uint8)
UPRIGHT_HWC[:8, :16] = (220, 40, 40)
UPRIGHT_HWC[16:, 24:] = (40, 40, 220)

# Where the EXIF standard says that row 0 and column 0 of the stored pixels are seen.
STORED = {
    1: UPRIGHT_HWC,  # top, left
    2: UPRIGHT_HWC[:, ::-1],  # top, right
    3: UPRIGHT_HWC[::-1, ::-1],  # bottom, right
    4: UPRIGHT_HWC[::-1],  # bottom, left
    5: UPRIGHT_HWC.swapaxes(0, 1),  # left, top
    6: UPRIGHT_HWC.swapaxes(0, 1)[::-1],  # right, top
    7: UPRIGHT_HWC.swapaxes(0, 1)[::-1, ::-1],  # right, bottom
    8: UPRIGHT_HWC.swapaxes(0, 1)[:, ::-1],  # left, bottom
}


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decoded(image: Image.Image, kind: str, **options: object) -> np.ndarray:
    result = load_image(encoded(image, kind, **options))
    assert result.mode == "RGB"
    return np.asarray(result)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(STORED[orientation]))
    pixels_HWC = decoded(image, kind, exif=exif, **({} if kind == "PNG" else {"quality": 98}))
    assert pixels_HWC.shape == UPRIGHT_HWC.shape
    # Block centres: JPEG and WebP blur the edges of colours.
    np.testing.assert_allclose(pixels_HWC[4::8, 4::8].astype(int), UPRIGHT_HWC[4::8, 4::8], atol=12)


def test_the_probe_has_the_upright_size(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a.jpg").write_bytes(encoded(Image.new("RGB", (40, 24)), "JPEG", exif=exif))
    probe = probe_file(tmp_path / "a.jpg")
    assert (probe.width, probe.height) == (24, 40)


def test_16_bit_grey_keeps_its_upper_byte():
    values = np.array([[0, 255, 256, 40_000, 65_535]], np.uint16)
    pixels = decoded(Image.fromarray(values), "PNG")
    np.testing.assert_array_equal(pixels[0, :, 0], [0, 0, 1, 156, 255])


def test_cmyk_becomes_rgb():
    pixels = decoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=98)
    np.testing.assert_allclose(pixels[4, 4].astype(int), [255, 0, 0], atol=8)


@pytest.mark.parametrize("transparency", [None, 0, bytes([0, 128, 255])])
def test_a_palette_becomes_its_colours_with_and_without_transparency(transparency):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([9, 9, 9, 10, 200, 30, 1, 2, 3])
    pixels = decoded(image, "PNG", **({} if transparency is None else {"transparency": transparency}))
    np.testing.assert_array_equal(pixels[0, 0], [10, 200, 30])


@pytest.mark.parametrize(("mode", "colour"), [("RGBA", (10, 200, 30, 128)), ("LA", (77, 0)), ("1", 1), ("L", 77)])
def test_other_modes_become_rgb_and_alpha_is_dropped(mode, colour):
    expected = {"RGBA": [10, 200, 30], "LA": [77] * 3, "1": [255] * 3, "L": [77] * 3}[mode]
    np.testing.assert_array_equal(decoded(Image.new(mode, (4, 4), colour), "PNG")[2, 2], expected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.95])
def test_a_truncated_file_is_unreadable_wherever_it_ends(kind, kept, tmp_path):
    content = encoded(Image.effect_noise((64, 64), 80).convert("RGB"), kind)
    content = content[: int(len(content) * kept)]
    with pytest.raises(UnreadableImage):
        load_image(content)
    (tmp_path / "a").write_bytes(content)
    reason = probe_file(tmp_path / "a").reason
    assert reason
    assert "object at" not in reason


def test_damage_inside_a_png_is_found():
    content = bytearray(encoded(Image.effect_noise((64, 64), 80), "PNG"))
    content[len(content) // 2] ^= 0xFF
    with pytest.raises(UnreadableImage):
        load_image(bytes(content))
