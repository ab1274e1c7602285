"""A real network, real photographs, and how files are compared on them."""

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file

from edgetl.runner.backends import open_model
from edgetl.runner.backends.base import Session
from edgetl.runner.contract import Contract
from edgetl.zoo.classifier import Classifier
from edgetl.zoo.deployable import Deployable, deployable_of
from edgetl.zoo.torchvision_ops import ensure_torchvision

__all__ = ["Images", "divergence_of", "medians_by_turns", "read_photos", "real_contract", "real_network"]

_SIDE, _CLASSES = 224, 1001
_CALLS = 200
Images = NDArray[np.uint8]


def real_contract() -> Contract:
    """What the network expects."""
    return Contract(
        labels=tuple(str(label) for label in range(_CLASSES)),
        height=_SIDE, width=_SIDE, resize="crop", crop_fraction=0.875, mean=(0.5,) * 3, std=(0.5,) * 3,
    )  # fmt: skip


def real_network(weights: Path) -> Deployable:
    """MobileNetV2 of timm with 1001 classes and padding 'same', from a file."""
    ensure_torchvision()
    import timm

    net = timm.create_model("mobilenetv2_100", num_classes=_CLASSES, pad_type="same")
    net.load_state_dict(load_file(weights))
    return deployable_of(Classifier(net, (0.5,) * 3, (0.5,) * 3))


def read_photos(contract: Contract, folder: Path) -> Images:
    """All photographs below a folder, by name, `(N, 224, 224, 3)`."""
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in (".jpg", ".jpeg", ".png"))
    return contract.read(files)


def divergence_of(reference_NK: NDArray[np.float32], answers_NK: NDArray[np.float32]) -> float:
    """Mean Kullback-Leibler divergence of the answers from the reference, in nats."""
    ratio_NK = np.log(reference_NK.clip(1e-9)) - np.log(answers_NK.clip(1e-9))
    return float((reference_NK * ratio_NK).sum(1).mean())


def medians_by_turns(files: dict[str, Path], images_NHWC: Images) -> dict[str, float]:
    """Median milliseconds of one image on one thread, the files by turns."""
    models = {label: open_model(file, Session(threads=1)) for label, file in files.items()}
    feeds = {label: model.prepare(images_NHWC[:1]) for label, model in models.items()}
    times: dict[str, list[float]] = {label: [] for label in files}
    for _ in range(_CALLS):
        for label, model in models.items():
            start = time.perf_counter()
            model.infer(feeds[label])
            times[label].append(time.perf_counter() - start)
    return {label: float(np.median(each[20:]) * 1e3) for label, each in times.items()}
