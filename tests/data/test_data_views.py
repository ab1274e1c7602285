"""Augmented views: addressable, inside the image, and without surprises at the border."""

import itertools

import numpy as np
import pytest
from PIL import Image
from PIL.ImageEnhance import Brightness, Color, Contrast

from edgetl.data.views import _crop_box, _recoloured, evaluation, view
from edgetl.recipe.images import AugmentConfig
from edgetl.runner.contract import Contract

ALL = AugmentConfig(crop_area=0.3, rotate_degrees=40, shift_fraction=0.3, colour=0.5)
NONE = AugmentConfig(crop_area=1, flip=False, rotate_degrees=0, shift_fraction=0, colour=0)


def contract(size=16, **options):
    return Contract(labels=("a", "b"), **{"height": size, "width": size, **options})


def noise(width, height, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def with_only(**options):
    return NONE.model_copy(update=options)


def test_a_view_depends_on_its_address_and_on_nothing_before_it():
    image = noise(20, 14)
    addresses = list(itertools.product((0, 1), (0, 1), (0, 1)))
    first = [view(image, contract(), ALL, seed=s, view=v, sample=n) for s, v, n in addresses]
    again = [view(image, contract(), ALL, seed=s, view=v, sample=n) for s, v, n in reversed(addresses)]
    for one, other in zip(first, reversed(again), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len({pixels.tobytes() for pixels in first}) == 8


def test_no_augmentation_is_the_evaluation_view():
    for image, kind in (
        (noise(20, 14), contract(resize="squash")),
        (noise(8, 8), contract()),
        (noise(50, 50), contract()),
    ):
        np.testing.assert_array_equal(view(image, kind, NONE, seed=0, view=3, sample=5), evaluation(image, kind))


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (3, 200), (200, 3), (301, 200)])
@pytest.mark.parametrize("resize", ["crop", "squash"])
def test_any_image_gives_the_contracts_shape(size, resize):
    kind = contract(height=12, width=20, resize=resize, filter="bicubic")
    for number in range(20):
        pixels = view(noise(*size), kind, ALL, seed=0, view=number, sample=0)
        assert (pixels.shape, pixels.dtype) == ((12, 20, 3), np.uint8)


@pytest.mark.parametrize("value", [0, 131, 255])
def test_nothing_but_the_image_comes_in_at_the_border(value):
    image = Image.new("RGB", (8, 8), (value,) * 3)
    wild = AugmentConfig(crop_area=0.5, rotate_degrees=180, shift_fraction=0.5, colour=0)
    for number in range(200):
        assert np.all(view(image, contract(), wild, seed=0, view=number, sample=0) == value)


@pytest.mark.parametrize("crop_fraction", [1.0, 0.9])
@pytest.mark.parametrize("side", [16, 224])
def test_no_size_of_image_is_refused_for_a_rounding_error(side, crop_fraction):
    contract = Contract(("a", "b"), side, side, crop_fraction=crop_fraction)
    for width in range(1, 300, 7):
        for height in (1, 47, 190, 259):
            assert evaluation(Image.new("RGB", (width, height)), contract).shape == (side, side, 3)


@pytest.mark.parametrize("size", [(100, 100), (160, 100), (90, 120)])
def test_crops_lie_inside_have_the_asked_area_and_a_moderate_shape(size):
    image = Image.new("RGB", size)
    for draws in np.random.default_rng(0).random((500, 4)):
        area = 0.4 + 0.35 * draws[0]
        left, top, right, bottom = _crop_box(image, contract(), area, *draws[1:])
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]
        assert (right - left) * (bottom - top) == pytest.approx(area * size[0] * size[1])
        assert 0.7499 < (right - left) / (bottom - top) < 1.3334


def test_crops_show_a_part_of_the_image_from_anywhere_in_it():
    ramp_HW = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (64, 1))
    for pixels_HW in (ramp_HW, np.ascontiguousarray(ramp_HW.T)):
        image = Image.fromarray(pixels_HW).convert("RGB")
        crops = [view(image, contract(), with_only(crop_area=0.2), seed=0, view=n, sample=0) for n in range(200)]
        lowest, highest = (np.array([reduce(crop) for crop in crops], int) for reduce in (np.min, np.max))
        assert np.median(highest - lowest) < 225
        assert lowest.min() < 20 < 80 < lowest.max()
        assert highest.min() < 175 < 235 < highest.max()


def test_a_squashed_crop_has_the_images_own_shape():
    left, top, right, bottom = _crop_box(Image.new("RGB", (300, 100)), contract(resize="squash"), 0.5, 0.1, 0.7, 0.7)
    assert (right - left) / (bottom - top) == pytest.approx(3)


def test_an_image_longer_than_any_allowed_shape_gives_what_fits():
    left, top, right, bottom = _crop_box(Image.new("RGB", (300, 100)), contract(), 1.0, 0.5, 0.5, 0.5)
    assert bottom - top == pytest.approx(100)
    assert right - left == pytest.approx(100 * 4 / 3)


def test_half_of_the_views_are_mirrored_and_the_switch_changes_nothing_else():
    image = noise(16, 16)
    mirrored = 0
    for number in range(200):
        on = view(image, contract(), ALL.model_copy(update={"colour": 0.0}), seed=0, view=number, sample=0)
        off = view(
            image, contract(), ALL.model_copy(update={"colour": 0.0, "flip": False}), seed=0, view=number, sample=0
        )
        if not np.array_equal(on, off):
            np.testing.assert_array_equal(on, off[:, ::-1])
            mirrored += 1
    assert 70 < mirrored < 130


def centre_of(pixels):
    """Where the bright part is, in pixels from the middle: right, down."""
    weights = pixels[..., 0].astype(float)
    rows, columns = np.indices(weights.shape) - (np.array(weights.shape) - 1).reshape(2, 1, 1) / 2
    return (weights * columns).sum() / weights.sum(), (weights * rows).sum() / weights.sum()


def test_shifts_reach_both_ways_up_to_the_stated_fraction():
    image = Image.new("RGB", (40, 40))
    image.paste((255, 255, 255), (18, 18, 22, 22))
    moved = [view(image, contract(40), with_only(shift_fraction=0.2), seed=0, view=n, sample=0) for n in range(200)]
    centres = np.array([centre_of(pixels) for pixels in moved])
    assert np.all(np.abs(centres) < 8.1)
    assert np.all(centres.max(axis=0) > 7)
    assert np.all(centres.min(axis=0) < -7)


def test_turns_reach_both_ways_up_to_the_stated_angle():
    image = Image.new("RGB", (41, 41))
    image.paste((255, 255, 255), (30, 19, 34, 22))
    turned = [view(image, contract(41), with_only(rotate_degrees=30), seed=0, view=n, sample=0) for n in range(200)]
    angles = np.array([np.degrees(np.arctan2(*reversed(centre_of(pixels)))) for pixels in turned])
    assert np.all(np.abs(angles) < 30.5)
    assert angles.max() > 27
    assert angles.min() < -27


def test_colours_change_and_grey_stays_grey():
    image = Image.new("RGB", (8, 8), (100, 100, 100))
    colours = [view(image, contract(8), with_only(colour=0.2), seed=0, view=n, sample=0)[0, 0] for n in range(200)]
    values = np.array(colours, int)
    assert np.all(values == values[:, :1])
    assert values.min() in range(79, 84)
    assert values.max() in range(117, 122)


@pytest.mark.parametrize("factors", [(0.8, 0.9, 0.85), (1.1, 0.9, 1.2), (0.9, 1.3, 1.0), (1.0, 1.0, 0.0)])
def test_colours_are_those_of_pillows_enhancers_where_nothing_is_clipped(factors):
    image = Image.fromarray(np.random.default_rng(0).integers(70, 160, (16, 16, 3), np.uint8))
    expected = image
    for enhancer, factor in zip((Brightness, Contrast, Color), factors, strict=True):
        expected = enhancer(expected).enhance(factor)
    difference = np.abs(np.asarray(_recoloured(image, *factors)).astype(int) - np.asarray(expected))
    assert difference.max() <= 3, "each enhancer drops what is below a whole level"


def test_a_large_image_is_antialiased():
    fine = np.zeros((300, 400, 3), np.uint8)
    fine[::2, ::2] = fine[1::2, 1::2] = 200
    pixels = view(Image.fromarray(fine), contract(), with_only(crop_area=0.9), seed=0, view=0, sample=0)
    np.testing.assert_allclose(pixels.astype(int), 100, atol=4)
