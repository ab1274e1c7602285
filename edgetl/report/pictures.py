"""A dozen test images with the models' predictions, mistakes first."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgetl.data.index import ImageIndex, Sample
from edgetl.errors import DataError
from edgetl.runner.contract import load_image
from edgetl.runs.files import sha256_of
from edgetl.verify.schema import REFERENCE

__all__ = ["Gallery", "Guess", "Picture", "choose_images", "sample_gallery"]

_LARGEST_SIDE = 192
"""Pictures are scaled down to this, in pixels; smaller ones are embedded as they are and enlarged by the page."""

_PIXELATED_BELOW = 64


@dataclass(frozen=True)
class Guess:
    """The most probable class, by one model."""

    model: str
    label: str
    probability: float


@dataclass(frozen=True)
class Picture:
    """One test image."""

    name: str
    source: str
    """A `data:` URI."""

    pixelated: bool
    """Whether it is so small that it should be enlarged without smoothing."""

    truth: str
    student: Guess
    others: tuple[Guess, ...]
    """Answers of the quantized artifacts that chose another class than the student."""

    @property
    def right(self) -> bool:
        """Whether the student chose the true class."""
        return self.student.label == self.truth


@dataclass(frozen=True)
class Gallery:
    """The pictures, and what they were chosen from."""

    pictures: tuple[Picture, ...]
    mistakes: int
    """Number of test images for which the student chose a wrong class."""

    images: int
    """Number of all test images."""


def sample_gallery(
    index: ImageIndex, predictions: dict[str, NDArray[np.float32]], quantized: dict[str, str], count: int = 12
) -> Gallery:
    """Pick images of the test split and read them.

    Args:
        index: The run's images.
        predictions: Probabilities `(N, K)` of the test split by artifact file, and of the student by `reference`.
        quantized: By file, the names of artifacts whose differing answers are shown.
        count: Pictures wanted; fewer if the split is smaller.

    Raises:
        DataError: An image is gone or has changed.
        UnreadableImage: An image no longer decodes.
    """
    samples = index.split("test")
    labels_N = np.array([sample.label for sample in samples])
    reference_NK = predictions[REFERENCE]
    if len(reference_NK) != len(samples):
        raise DataError(f"The test split has {len(samples)} images, but there are answers to {len(reference_NK)}")
    others = {name: predictions[file] for file, name in quantized.items() if file in predictions}
    chosen = choose_images(reference_NK, labels_N, [answers_NK.argmax(1) for answers_NK in others.values()], count)
    return Gallery(
        pictures=tuple(
            _picture(index, samples[i], reference_NK[i], {name: p[i] for name, p in others.items()}) for i in chosen
        ),
        mistakes=int((reference_NK.argmax(1) != labels_N).sum()),
        images=len(samples),
    )


def choose_images(
    reference_NK: NDArray[np.float32], labels_N: NDArray[np.int_], others_N: list[NDArray[np.int_]], count: int
) -> list[int]:
    """Choose which images to show: mistakes, then changed answers, then right answers.

    Up to two thirds are the student's mistakes, the most confident first, since those say most; then up to two images
    where a quantized artifact chose another class; the rest are right answers, spread evenly over the split.

    Args:
        reference_NK: The student's probabilities.
        labels_N: True classes.
        others_N: Chosen classes of each quantized artifact.
        count: Images wanted.

    Returns:
        Positions in the split.
    """
    guesses_N, confidence_N = reference_NK.argmax(1), reference_NK.max(1)
    wrong = np.flatnonzero(guesses_N != labels_N)
    wrong = wrong[np.argsort(-confidence_N[wrong], kind="stable")][: count * 2 // 3]
    changed_N = np.zeros(len(labels_N), dtype=bool)
    for other_N in others_N:
        changed_N |= other_N != guesses_N
    changed = np.flatnonzero(changed_N & (guesses_N == labels_N))[:2]
    plain = np.flatnonzero(~changed_N & (guesses_N == labels_N))
    room = min(count - len(wrong) - len(changed), len(plain))
    spread = plain[np.linspace(0, len(plain) - 1, room).astype(int)] if room else plain[:0]
    return [int(i) for i in (*wrong, *changed, *spread)]


def _picture(
    index: ImageIndex, sample: Sample, reference_K: NDArray[np.float32], others: dict[str, NDArray[np.float32]]
) -> Picture:
    file = index.file(sample)
    if sha256_of(file) != sample.sha256:
        raise DataError(f"{file}: has changed since this run read it")
    image = load_image(file)
    student = _guess("student", reference_K, index.labels)
    guesses = [_guess(name, answer_K, index.labels) for name, answer_K in others.items()]
    return Picture(
        name=sample.path,
        source=_data_uri(image),
        pixelated=max(image.size) < _PIXELATED_BELOW,
        truth=index.labels[sample.label],
        student=student,
        others=tuple(guess for guess in guesses if guess.label != student.label),
    )


def _guess(model: str, probabilities_K: NDArray[np.float32], labels: tuple[str, ...]) -> Guess:
    best = int(probabilities_K.argmax())
    return Guess(model, labels[best], float(probabilities_K[best]))


def _data_uri(image: Image.Image) -> str:
    small = image.copy()
    small.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
