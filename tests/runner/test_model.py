"""The Python interface: one image in, a label and its probability out."""

import dataclasses
from io import BytesIO

import numpy as np
import pytest
import tiny
from PIL import Image

from edgetl.runner import Model
from edgetl.runner.errors import BrokenModel, RunnerError, UnreadableImage, WrongImages

every_format = pytest.mark.parametrize("name", sorted(tiny.FILE_OF_FORMAT))


@pytest.fixture(scope="module")
def images():
    return tiny.some_images(5)


@pytest.fixture(scope="module")
def files(images, tmp_path_factory):
    return tiny.write_images(tmp_path_factory.mktemp("images"), images)


@pytest.fixture
def model(tmp_path):
    return Model.open(tiny.build("tflite", tmp_path))


@every_format
def test_a_prediction_is_the_models_answer(name, images, files, tmp_path):
    model = Model.open(str(tiny.build(name, tmp_path)), threads=2)
    prediction = model.predict(files[0])
    assert model.backend.facts()["threads"] == 2
    expected_K = tiny.reference(images[:1])[0]
    np.testing.assert_allclose(prediction.probabilities, expected_K, atol=2e-6)
    assert prediction.probabilities.dtype == np.float32
    assert prediction.label == tiny.LABELS[expected_K.argmax()]
    assert prediction.confidence == pytest.approx(expected_K.max(), abs=2e-6)


def test_a_path_the_bytes_and_the_pixels_of_an_image_are_the_same(model, images, files):
    sources = [files[1], str(files[1]), files[1].read_bytes(), images[1]]
    answers = {model.predict(source).probabilities.tobytes() for source in sources}
    assert len(answers) == 1


def test_an_image_of_another_size_is_made_to_fit(model):
    """The colours must not be exchanged on the way."""
    red = np.zeros((30, 20, 3), np.uint8)
    red[..., 0] = 255
    assert model.predict(red).label == "red"
    assert model.predict(red[..., ::-1]).label == "blue"


def test_the_orientation_in_a_photos_exif_is_applied(tmp_path):
    model = Model.open(tiny.build("onnx", tmp_path, contract=tiny.CONTRACT.to_json()))
    exif, content = Image.Exif(), BytesIO()
    exif[0x0112] = 6  # to be turned by 90 degrees
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = 255
    Image.fromarray(pixels).save(content, "PNG", exif=exif)
    (seen,) = model.preprocess([content.getvalue()])
    np.testing.assert_array_equal(seen, np.rot90(pixels, -1))


def test_the_top_labels_are_sorted_and_at_most_all(model, files):
    prediction = model.predict(files[0])
    top = prediction.top(2)
    assert top[0] == (prediction.label, prediction.confidence)
    assert top[0][1] >= top[1][1]
    assert len(prediction.top(99)) == len(tiny.LABELS)
    assert sum(probability for _, probability in prediction.top(4)) == pytest.approx(1)


def test_a_prediction_cannot_be_changed_and_shows_itself(model, files):
    prediction = model.predict(files[0])
    with pytest.raises(dataclasses.FrozenInstanceError):
        prediction.labels = ()
    assert repr(prediction) == f"Prediction(label={prediction.label!r}, confidence={prediction.confidence:.4f})"


def test_a_model_knows_its_labels_and_its_contract(model):
    assert model.labels == tiny.LABELS
    assert model.contract == tiny.CONTRACT


def test_many_images_at_once_keep_their_order_and_none_give_none(model):
    images = tiny.some_images(200)
    np.testing.assert_allclose(model.probabilities(list(images)), tiny.reference(images), atol=2e-6)
    assert model.probabilities([]).shape == (0, 4)


def test_a_contract_can_be_given_for_a_file_that_has_none(tmp_path, files):
    path = tiny.build("onnx", tmp_path, contract=None)
    with pytest.raises(RunnerError, match=r"model\.onnx: carries no contract"):
        Model.open(path)
    assert Model.open(path, contract=tiny.CONTRACT).predict(files[0]).label in tiny.LABELS


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        ("gone.png", UnreadableImage, r"^gone\.png: cannot be read as an image \(.*No such file"),
        (b"GIF89a", UnreadableImage, r"^6 bytes: cannot be read as an image \(is no JPEG, PNG, WebP or BMP\)$"),
        (np.zeros((8, 8, 3)), WrongImages, r"^expected an RGB image uint8 \(H, W, 3\), got float64 \(8, 8, 3\)$"),
        (np.zeros((8, 8), np.uint8), WrongImages, r"got uint8 \(8, 8\)$"),
        (np.zeros((8, 8, 4), np.uint8), WrongImages, r"got uint8 \(8, 8, 4\)$"),
        (np.zeros((0, 8, 3), np.uint8), WrongImages, r"got uint8 \(0, 8, 3\)$"),
        (7, WrongImages, "^expected a path, encoded bytes or an array, got int$"),
    ],
)
def test_what_is_no_image_is_an_error_of_the_runner_in_one_line(model, image, error, message):
    with pytest.raises(error, match=message) as caught:
        model.predict(image)
    assert isinstance(caught.value, RunnerError)
    assert "\n" not in str(caught.value)


def test_a_contract_of_other_classes_is_refused(tmp_path, files):
    contract = tiny.CONTRACT.to_json().replace('"red", ', "")
    with pytest.raises(BrokenModel, match=r"model\.onnx: gives 4 classes, its contract names 3"):
        Model.open(tiny.build("onnx", tmp_path, contract=contract)).predict(files[0])
