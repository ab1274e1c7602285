"""How a file becomes a picture for views: what Pillow gives, but large JPEGs are decoded only as large as needed."""

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from edgetl.data.dataset import ViewDataset
from edgetl.data.decoding import _factor, decoder_of_views, open_picture
from edgetl.data.index import ImageIndex, Sample
from edgetl.data.views import EVALUATION, Views, view
from edgetl.errors import DataError
from edgetl.recipe.images import AugmentConfig
from edgetl.runner.contract import Contract, UnreadableImage, load_image

AUGMENT = AugmentConfig()
CONTRACT = Contract(("a", "b"), 24, 24)


def scene(mode="RGB", size=(250, 187)):
    """Smooth shapes and a little noise, as in a photograph."""
    x, y = np.meshgrid(np.linspace(0, 9, size[0]), np.linspace(0, 7, size[1]))
    waves_HWC = np.stack([np.sin(x + y), np.cos(x * 1.3), np.sin(y - x / 2)], -1) * 100 + 128
    noise_HWC = np.random.default_rng(0).normal(0, 4, waves_HWC.shape)
    return Image.fromarray((waves_HWC + noise_HWC).clip(0, 255).astype(np.uint8)).convert(mode)


@pytest.fixture
def saved(tmp_path):
    def save(image, name="a.jpg", kind="JPEG", **options):
        image.save(tmp_path / name, kind, **options)
        return tmp_path / name

    return save


@pytest.fixture
def decodings(monkeypatch):
    """Factors that JPEGs were decoded at."""
    seen = []
    original = simplejpeg.decode_jpeg

    def decode(*arguments, **options):
        seen.append(options["min_factor"])
        return original(*arguments, **options)

    monkeypatch.setattr(simplejpeg, "decode_jpeg", decode)
    return seen


def made(picture, number=0, contract=CONTRACT, augment=AUGMENT):
    return view(picture, contract, augment, seed=0, view=number, sample=0).astype(int)


def dataset_of(file, **options):
    sample = Sample(file.name, 0, "train", "0" * 64)
    index = ImageIndex(file.parent, ("a", "b"), (sample,), {}, options.pop("median_side", 187))
    return ViewDataset(index, [sample], Views(CONTRACT, AUGMENT, **options))


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("resampling", ["bilinear", "bicubic"])
def test_views_of_a_partly_decoded_jpeg_are_nearly_those_of_the_whole_one(saved, decodings, subsampling, resampling):
    file = saved(scene(), quality=92, subsampling=subsampling)
    contract = Contract(("a", "b"), 24, 24, filter=resampling)
    for number in range(20):
        fast, full = (made(picture, number, contract) for picture in (open_picture(file), load_image(file)))
        assert np.abs(fast - full).mean() < 6
        assert abs(fast.mean() - full.mean()) < 1
    assert set(decodings) == {4}


@pytest.mark.parametrize("size", [(250, 187), (251, 189), (255, 193)])
def test_a_crop_is_where_it_was_asked_for_at_every_scale(saved, size):
    """An edge in the middle stays in the middle, though the sides are no multiples of the factor."""
    half_HW = np.zeros((size[1], size[0]), np.uint8)
    half_HW[:, 128:] = 255
    picture = open_picture(saved(Image.fromarray(half_HW).convert("RGB"), quality=98))
    for width in (120, 40, 20, 10):
        row = np.asarray(picture.resize((width, 10), Image.Resampling.BILINEAR, box=(64, 0, 192, 128)))[5, :, 0]
        assert (row.astype(float) / 255).sum() == pytest.approx(width / 2, abs=0.12)


@pytest.mark.parametrize(
    ("box", "factor"), [((0, 0, 224, 224), 1), ((0, 0, 447, 900), 1), ((0, 0, 448, 900), 2), ((8, 8, 904, 904), 4)]
)
def test_no_crop_is_decoded_smaller_than_the_input(box, factor):
    assert _factor((224, 224), box) == factor


def test_a_whole_jpeg_is_decoded_as_pillow_does(saved):
    file = saved(scene(), quality=85)
    picture, still = open_picture(file), AugmentConfig(crop_area=1, flip=False, colour=0)
    assert not isinstance(picture, Image.Image), "it is not decoded yet"
    contract = Contract(("a", "b"), 187, 250, resize="squash")
    fast, full = contract.preprocess(load_image(file)), made(picture, 0, Contract(("a", "b"), 187, 250), still)
    np.testing.assert_array_equal(fast, full)


@pytest.mark.parametrize("resampling", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC])
def test_fine_noise_in_a_jpeg_is_antialiased_as_pillow_does(saved, resampling):
    pixels_HWC = np.random.default_rng(0).integers(0, 256, (190, 250, 3), np.uint8)
    file, box = saved(Image.fromarray(pixels_HWC), quality=95), (0, 0, 250, 190)
    mine, pillows = (
        np.asarray(picture.resize((140, 100), resampling, box=box)).astype(int)
        for picture in (open_picture(file), load_image(file))
    )
    assert np.abs(mine - pillows).max() <= 1


@pytest.mark.parametrize("kind", ["turned", "cmyk", "grey", "png", "palette", "16-bit"])
def test_what_is_no_plain_jpeg_gives_what_pillow_gives(saved, decodings, kind):
    file = {
        "turned": lambda: saved(scene(), exif=turned(6)),
        "cmyk": lambda: saved(scene("CMYK")),
        "grey": lambda: saved(scene("L")),
        "png": lambda: saved(scene(), kind="PNG"),
        "palette": lambda: saved(scene("P"), "a.png", "PNG"),
        "16-bit": lambda: saved(Image.fromarray(np.asarray(scene("L")).astype(np.uint16) << 8), "a.png", "PNG"),
    }[kind]()
    np.testing.assert_array_equal(made(open_picture(file)), made(load_image(file)))
    assert decodings == []


def test_a_jpeg_whose_exif_says_upright_is_decoded_in_part(saved, decodings):
    made(open_picture(saved(scene(), exif=turned(1))))
    assert decodings == [4]


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.3, 0.97])
def test_a_truncated_jpeg_is_refused_in_the_same_words(saved, kept):
    file = saved(scene())
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(UnreadableImage) as expected:
        load_image(file)
    with pytest.raises(DataError) as caught:
        raise dataset_of(file)[0, 0]
    assert str(caught.value) == f"{file}: has changed since this run read it ({expected.value}). Restore it"


def test_a_jpeg_that_only_the_other_decoder_refuses_gives_what_pillow_gives(saved):
    file = saved(scene())
    content = file.read_bytes()
    damaged = content[:-2] + bytes(9) + content[-2:]
    file.write_bytes(damaged)
    with pytest.raises(ValueError, match="Corrupt JPEG"):
        simplejpeg.decode_jpeg(damaged)
    np.testing.assert_array_equal(made(open_picture(file)), made(load_image(file)))


def test_the_evaluation_view_of_a_jpeg_is_the_contracts_to_the_bit(saved, decodings):
    file = saved(scene())
    pixels_HWC, _ = dataset_of(file)[0, EVALUATION]
    np.testing.assert_array_equal(pixels_HWC, CONTRACT.preprocess(load_image(file)))
    assert decodings == []


def test_a_view_is_the_same_whether_its_file_is_kept_or_opened_again(saved):
    file = saved(scene())
    kept, opened = dataset_of(file, median_side=64), dataset_of(file)
    for number in (0, EVALUATION, 1, 0):
        np.testing.assert_array_equal(kept[0, number][0], opened[0, number][0])


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (300, 2), (9, 7)])
def test_jpegs_of_any_size_give_views(saved, size):
    picture = open_picture(saved(Image.new("RGB", size, (200, 0, 0))))
    tiny_crops = AugmentConfig(crop_area=0.001, colour=0)
    for number in range(60):
        assert made(picture, number, augment=tiny_crops)[..., 0].min() > 190


def test_the_decoder_has_a_name_and_a_version():
    assert decoder_of_views() == f"simplejpeg {simplejpeg.__version__}"
