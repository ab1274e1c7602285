"""What a trained network says about images: by the file that is recommended, by another one, or by itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgetl.bench.recommend import recommend
from edgetl.bench.timings import read_timings
from edgetl.devices.local import LocalDevice
from edgetl.devices.measuring import predict
from edgetl.errors import DataError, RunFolderError, RunnerFailed
from edgetl.runner.contract import Contract, load_image
from edgetl.runner.errors import RunnerError, UnreadableImage
from edgetl.runner.images import find_images
from edgetl.runs.folder import RunFolder
from edgetl.verify.schema import read_proof

__all__ = ["Answers", "answers_of"]

_AT_ONCE = 32
_FILES = (".onnx", ".tflite", ".xml")


@dataclass(frozen=True)
class Answers:
    """What a network says about some images."""

    by: Path
    """The file that said it."""

    images: tuple[Path, ...]
    labels: tuple[str, ...]
    probabilities_NK: NDArray[np.float32]

    def top(self, count: int) -> list[dict[str, Any]]:
        """For each image its most probable labels, the best first."""
        order_NK = np.argsort(-self.probabilities_NK, axis=1, kind="stable")[:, :count]
        return [
            {
                "image": str(image),
                "top": [{"label": self.labels[k], "probability": float(self.probabilities_NK[n, k])} for k in order_K],
            }
            for n, (image, order_K) in enumerate(zip(self.images, order_NK, strict=True))
        ]


def answers_of(what: Path, images: Sequence[Path]) -> Answers:
    """Say what images show.

    Args:
        what: A run folder, or a model file: `.onnx`, `.tflite`, `.xml`.
        images: Files, and folders of them.

    Raises:
        DataError: There is no such image, one cannot be read, or a folder has none.
        RunFolderError: It is no run folder, and no model file.
        RunnerFailed: The file is no model that edgetl made.
    """
    try:
        found = tuple(find_images(images))
    except RunnerError as cause:
        raise DataError(str(cause)) from cause
    if what.is_dir():
        folder = RunFolder.open(what)
        file = _file_of(folder)
        return _by_network(folder, found) if file is None else _by_file(file, found)
    if not what.exists():
        raise RunFolderError(f"{what}: no such run folder or model file")
    if what.suffix not in _FILES:
        raise RunFolderError(f"{what}: is no model file ({', '.join(_FILES)}) and no run folder")
    return _by_file(what, found)


def _file_of(folder: RunFolder) -> Path | None:
    """The recommended file; the first that was exported where none is, and None where none was exported."""
    if best := recommend(read_proof(folder) or {}, read_timings(folder) or {}):
        return folder.file(best.file)
    return folder.file(folder.artifacts()[0].file) if folder.stage("export") else None


def _by_file(file: Path, images: tuple[Path, ...]) -> Answers:
    try:
        probabilities_NK, facts = predict(LocalDevice(), file, images, threads=1)
    except RunnerFailed:
        _check_readable(images)
        raise
    return Answers(file, images, Contract.from_json(facts["contract"]).labels, probabilities_NK)


def _by_network(folder: RunFolder, images: tuple[Path, ...]) -> Answers:
    """By the trained network, where nothing has been exported yet."""
    import torch

    from edgetl.zoo.build import load_classifier

    if not folder.is_trained:
        raise RunFolderError(f"{folder.path}: has no trained network yet. 'edgetl run' goes on with it")
    network, contract = load_classifier(folder), folder.contract
    parts = []
    for start in range(0, len(images), _AT_ONCE):
        pixels_NHWC = _preprocessed(images[start : start + _AT_ONCE], contract)
        with torch.inference_mode():
            parts.append(torch.softmax(network(torch.from_numpy(pixels_NHWC)), 1).numpy())
    return Answers(folder.path, images, contract.labels, np.concatenate(parts))


def _preprocessed(images: Sequence[Path], contract: Contract) -> NDArray[np.uint8]:
    """Images as the network takes them, `uint8 (N, H, W, 3)`."""
    return np.stack([contract.preprocess(_loaded(image)) for image in images])


def _check_readable(images: Sequence[Path]) -> None:
    for image in images:
        _loaded(image)


def _loaded(image: Path) -> Image.Image:
    try:
        return load_image(image)
    except UnreadableImage as cause:
        raise DataError(f"{image}: cannot be read as an image ({cause})") from cause
