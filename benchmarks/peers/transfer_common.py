"""What the peers of edgetl's fine-tuning share: command line, images, network, score, and the line that they print.

The network, its weights and the preprocessing of the test images are edgetl's own, so that only the learning differs.
"""

import argparse
import contextlib
import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgetl.data.index import ImageIndex
from edgetl.data.sizing import decide_contract
from edgetl.recipe.fields import Recipe
from edgetl.recipe.images import DataConfig
from edgetl.recipe.networks import ModelConfig
from edgetl.runner.contract import Contract
from edgetl.zoo.build import build_classifier, native_input
from edgetl.zoo.classifier import Classifier
from edgetl.zoo.torchvision_ops import ensure_torchvision

__all__ = [
    "THREADS",
    "Images",
    "Learn",
    "Task",
    "images_of",
    "network",
    "parser_of",
    "right_answers",
    "run_peer",
    "task_of",
]

THREADS = 2
"""Of torch, on any machine."""

_BATCH = 64


@dataclass(frozen=True)
class Images:
    """Files with their classes, ordered by path."""

    files: list[Path]
    labels_N: NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """What is learned: images, the input, and the network to start from."""

    train: Images
    test: Images
    contract: Contract
    model: ModelConfig
    seed: int


Learn = Callable[[Task, argparse.Namespace], tuple[nn.Module, dict[str, Any]]]
"""Returns a network from `uint8 (N, H, W, 3)` to logits, and figures for the record."""


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """The options of every peer."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/CLASS and test/CLASS")
    parser.add_argument("--model", required=True, help="edgetl's name of the network")
    parser.add_argument("--weights", required=True, help="FILE.safetensors")
    parser.add_argument("--size", type=int, required=True, help="input side in pixels")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything")
    return parser


def run_peer(args: argparse.Namespace, learn: Learn) -> None:
    """Learn, and print what is right as one line of JSON; everything else goes to stderr."""
    ensure_torchvision()
    torch.set_num_threads(THREADS)
    torch.manual_seed(args.seed)
    warnings.simplefilter("ignore", FutureWarning)
    with contextlib.redirect_stdout(sys.stderr):
        task = task_of(args)
        model, figures = learn(task, args)
        right = right_answers(model, task.contract, task.test)
    print(json.dumps({"top1": right.count("1") / len(right), "right": right, **figures}))


def task_of(args: argparse.Namespace) -> Task:
    """What the command line asks for."""
    model = ModelConfig(model=args.model, weights=args.weights)
    labels = tuple(sorted(folder.name for folder in (args.data / "train").iterdir()))
    train, test = (images_of(args.data / split, labels) for split in ("train", "test"))
    recipe = Recipe(data=DataConfig(image_size=args.size))
    contract = decide_contract(ImageIndex(args.data, labels, (), {}, args.size), recipe, native_input(model))
    return Task(train, test, contract, model, args.seed)


def images_of(folder: Path, labels: tuple[str, ...]) -> Images:
    """All images of class folders, in edgetl's order."""
    files = sorted(folder.glob("*/*"), key=lambda file: file.relative_to(folder).as_posix())
    return Images(files, np.array([labels.index(file.parent.name) for file in files]))


def network(task: Task) -> tuple[Classifier, int]:
    """The network with its weights and without its last layer, which would have had so many inputs; in eval mode."""
    contract = task.contract
    classifier, _ = build_classifier(task.model, len(contract.labels), contract.height, seed=task.seed)
    net: Any = classifier.net
    width = int(net.get_classifier().in_features)
    net.classifier = nn.Identity()
    return classifier.eval(), width


def right_answers(model: nn.Module, contract: Contract, images: Images) -> str:
    """A `1` for each image whose most probable class is the true one, a `0` for each other."""
    model.eval()
    right: list[bool] = []
    for start in range(0, len(images.files), _BATCH):
        pixels_NHWC = torch.from_numpy(contract.read(images.files[start : start + _BATCH]))
        with torch.inference_mode():
            answers_N = model(pixels_NHWC).argmax(1).numpy()
        right += (answers_N == images.labels_N[start : start + _BATCH]).tolist()
    return "".join(map(str, map(int, right)))
