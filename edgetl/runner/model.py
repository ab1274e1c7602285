"""A model as a Python object: `Model.open("model.tflite").predict("cat.jpg").label`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .backends import open_model
from .backends.base import Backend, Session
from .contract import Contract, load_image
from .errors import BrokenModel, RunnerError, UnreadableImage, WrongImages

__all__ = ["ImageSource", "Model", "Prediction"]

ImageSource = Union[str, Path, bytes, NDArray[np.uint8]]
"""A path, the encoded bytes of a file (JPEG, PNG, WebP, BMP), or the pixels of an RGB image, `uint8 (H, W, 3)`."""

_IMAGES_AT_ONCE = 128
"""Decoded images kept in memory."""


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """What a model says about one image."""

    labels: tuple[str, ...]
    """The model's `K` classes."""

    probabilities: NDArray[np.float32]
    """`(K,)`, in the order of `labels`."""

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.labels[int(self.probabilities.argmax())]

    @property
    def confidence(self) -> float:
        """The probability of `label`, 0 to 1."""
        return float(self.probabilities.max())

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """Give the `k` most probable classes with their probabilities, the best first; all if there are fewer."""
        order = np.argsort(-self.probabilities, kind="stable")[:k]
        return [(self.labels[index], float(self.probabilities[index])) for index in order]

    def __repr__(self) -> str:
        return f"Prediction(label={self.label!r}, confidence={self.confidence:.4f})"


class Model:
    """A model file that edgetl made, open in its runtime and ready for images of any size.

    Decoding, EXIF orientation, resizing and cropping are done as the model's contract says, so that an answer here is
    the answer that was proven. One thread may use it at a time.
    """

    def __init__(self, path: Path, backend: Backend, contract: Contract) -> None:
        self._path = path
        self.backend = backend
        """The runtime's side of it, which takes preprocessed images."""
        self.contract = contract
        """How an image becomes the model's input, and what its output means."""

    @classmethod
    def open(cls, path: str | Path, threads: int = 1, *, contract: Contract | None = None) -> Model:
        """Open a model file in the runtime of its kind.

        Args:
            path: A `.onnx`, `.tflite` or `.xml` file.
            threads: Threads that one inference may use.
            contract: How to read images and what the outputs are called, instead of what the file says of itself.

        Raises:
            BrokenModel: The file is missing or damaged, or is no model that edgetl made.
            MissingRuntime: The runtime is not installed, or does not load.
            RunnerError: The file carries no contract, and none is given.
        """
        path = Path(path)
        backend = open_model(path, Session(threads=threads))
        return cls(path, backend, contract or _embedded(path, backend))

    @property
    def labels(self) -> tuple[str, ...]:
        """The `K` classes, in the order of the outputs."""
        return self.contract.labels

    def predict(self, image: ImageSource) -> Prediction:
        """Say what an image shows.

        Raises:
            UnreadableImage: It does not decode completely.
            WrongImages: An array is not `uint8 (H, W, 3)`, or the contract's size is not the model's.
            BrokenModel: The model's output is not what its contract says.
        """
        return Prediction(self.labels, self.probabilities([image])[0])

    def probabilities(self, images: Sequence[ImageSource]) -> NDArray[np.float32]:
        """Compute probabilities `(N, K)` of images, in their order. Raises as `predict` does."""
        if not images:
            return np.empty((0, len(self.labels)), np.float32)
        starts = range(0, len(images), _IMAGES_AT_ONCE)
        parts = [self.backend.run(self.preprocess(images[start : start + _IMAGES_AT_ONCE])) for start in starts]
        probabilities_NK = np.concatenate(parts)
        classes = probabilities_NK.shape[1]
        if classes != len(self.labels):
            raise BrokenModel(f"{self._path}: gives {classes} classes, its contract names {len(self.labels)}")
        return probabilities_NK

    def preprocess(self, images: Sequence[ImageSource]) -> NDArray[np.uint8]:
        """Decode images and make the model's input of them, `uint8 (N, height, width, 3)`. Raises as `predict` does."""
        return np.stack([self.contract.preprocess(_decode(image)) for image in images])


def _embedded(path: Path, backend: Backend) -> Contract:
    text = backend.contract_json()
    if text is None:
        raise RunnerError(f"{path}: carries no contract. 'predict' takes one with --contract FILE.json")
    try:
        return Contract.from_json(text)
    except ValueError as cause:
        raise BrokenModel(f"{path}: carries a contract that cannot be read ({cause})") from cause


def _decode(image: ImageSource) -> Image.Image:
    if isinstance(image, np.ndarray):
        return _from_array(image)
    if not isinstance(image, (str, Path, bytes)):
        raise WrongImages(f"expected a path, encoded bytes or an array, got {type(image).__name__}")
    try:
        return load_image(Path(image) if isinstance(image, str) else image)
    except UnreadableImage as cause:
        name = f"{len(image)} bytes" if isinstance(image, bytes) else image
        raise UnreadableImage(f"{name}: cannot be read as an image ({cause})") from cause


def _from_array(pixels: NDArray[Any]) -> Image.Image:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise WrongImages(f"expected an RGB image uint8 (H, W, 3), got {pixels.dtype} {pixels.shape}")
    return Image.fromarray(pixels)
