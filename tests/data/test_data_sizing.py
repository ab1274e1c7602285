"""The rule for the input size."""

from pathlib import Path

import pytest

from edgetl.data.index import ImageIndex
from edgetl.data.sizing import Preprocessing, decide_contract
from edgetl.recipe.fields import Recipe


def decide(median_side, *, pretrained=True, native=224, **data):
    index = ImageIndex(Path("/data"), ("a", "b"), (), {}, median_side)
    preprocessing = Preprocessing((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), native, pretrained)
    return decide_contract(index, Recipe.model_validate({"data": data}), preprocessing)


@pytest.mark.parametrize(
    ("median_side", "pretrained", "native", "expected"),
    [
        (375, True, 224, 224),
        (224, False, 224, 224),
        (223, False, 224, 224),
        (160, True, 224, 160),
        (100, False, 224, 128),
        (96, False, 224, 96),
        (32, True, 224, 128),
        (32, False, 224, 32),
        (28, False, 224, 32),
        (8, False, 224, 32),
        (8, True, 96, 96),
        (290, True, 299, 299),
    ],
)
def test_the_automatic_size_follows_images_weights_and_network(median_side, pretrained, native, expected):
    contract = decide(median_side, pretrained=pretrained, native=native)
    assert (contract.height, contract.width) == (expected, expected)


def test_the_recipe_decides_if_it_says_a_number():
    assert decide(500, image_size=48).height == 48


@pytest.mark.parametrize(
    ("median_side", "data", "expected"),
    [
        (500, {}, 0.9),
        (500, {"image_size": 288}, 0.9),
        (500, {"resize": "squash"}, 1.0),
        (100, {}, 1.0),
        (500, {"image_size": 192}, 1.0),
    ],
)
def test_small_and_squashed_inputs_keep_the_whole_image(median_side, data, expected):
    assert decide(median_side, **data).crop_fraction == expected


def test_the_rest_of_the_contract_is_the_networks_and_the_recipes():
    contract = decide(500, filter="bicubic", resize="squash")
    assert (contract.labels, contract.mean, contract.std) == (("a", "b"), (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert (contract.filter, contract.resize) == ("bicubic", "squash")
