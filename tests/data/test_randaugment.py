"""RandAugment: each change is torchvision's, and which ones a view has depends on its address alone."""

import numpy as np
import pytest
from PIL import Image

from edgetl.data.randaugment import CHOICES, changed
from edgetl.data.views import Views, view
from edgetl.recipe.images import AugmentConfig
from edgetl.runner.contract import Contract
from edgetl.zoo.torchvision_ops import ensure_torchvision

CONTRACT = Contract(("a", "b"), 24, 24)


def picture(width=31, height=20):
    ramp_HWC = np.indices((height, width)).transpose(1, 2, 0)[..., [0, 1, 0]] * [9, 6, 3] + 20
    noise_HWC = np.random.default_rng(0).integers(0, 30, (height, width, 3))
    return Image.fromarray((ramp_HWC + noise_HWC).astype(np.uint8))


@pytest.fixture(scope="module")
def reference():
    """torchvision's RandAugment, made to apply one change with a sign of our choice."""
    ensure_torchvision()
    from torchvision.transforms.v2 import InterpolationMode, RandAugment

    def apply(image, choice, magnitude, negative):
        theirs = RandAugment(interpolation=InterpolationMode.BILINEAR, fill=128)
        strengths, signed = RandAugment._AUGMENTATION_SPACE[choice]
        found = strengths(31, image.height, image.width)
        strength = 0.0 if found is None else float(found[magnitude]) * (-1 if signed and negative else 1)
        return theirs._apply_image_or_video_transform(image, choice, strength, theirs.interpolation, theirs._fill)

    apply.choices = tuple(RandAugment._AUGMENTATION_SPACE)
    return apply


def test_the_changes_are_those_of_torchvision(reference):
    assert reference.choices == CHOICES


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("negative", [False, True])
def test_a_change_is_torchvisions_at_every_magnitude(reference, choice, negative):
    image, differing = picture(), 0
    for magnitude in range(31):
        expected = np.asarray(reference(image, choice, magnitude, negative))
        found = np.asarray(changed(image, choice, magnitude, negative=negative))
        # Theirs computes in single precision, which moves a pixel that lies on an edge or a threshold.
        assert np.mean(np.abs(found.astype(int) - expected) > 1) < 0.02, magnitude
        differing += not np.array_equal(expected, np.asarray(image))
    assert choice == "Identity" or differing > 20


def test_a_view_with_changes_depends_on_its_address_alone():
    strong = AugmentConfig(randaugment=2, magnitude=15)
    addresses = [(seed, number, sample) for seed in (0, 1) for number in (0, 1) for sample in (0, 1)]

    def shown(address):
        seed, number, sample = address
        return view(picture(), CONTRACT, strong, seed=seed, view=number, sample=sample).tobytes()

    first = [shown(address) for address in addresses]
    assert [shown(address) for address in reversed(addresses)] == first[::-1]
    assert len(set(first)) == len(addresses)


def test_the_changes_come_after_a_view_that_stays_as_it_was():
    plain, strong = AugmentConfig(), AugmentConfig(randaugment=1, magnitude=15)
    same, made = 0, set()
    for number in range(150):
        own = view(picture(), CONTRACT, plain, seed=0, view=number, sample=0)
        further = view(picture(), CONTRACT, strong, seed=0, view=number, sample=0)
        candidates = {
            (choice, negative): np.asarray(changed(Image.fromarray(own), choice, 15, negative=negative))
            for choice in CHOICES
            for negative in (False, True)
        }
        fitting = [key for key, pixels in candidates.items() if np.array_equal(pixels, further)]
        assert fitting, "one change of the plain view"
        made |= {fitting[0]} if len(fitting) == 1 else set()
        same += np.array_equal(own, further)
    assert 2 < same < 30, "one of fourteen is no change"
    assert len(made) > 12


def test_stored_answers_stay_valid_where_it_is_off():
    off, other = (Views(CONTRACT, AugmentConfig(magnitude=magnitude)).about() for magnitude in (9, 20))
    on, stronger = (Views(CONTRACT, AugmentConfig(randaugment=2, magnitude=m)).about() for m in (9, 20))
    assert off == other
    assert off != on
    assert on != stronger
    assert "mixup" not in off[0], "answers are to views that are not mixed"
