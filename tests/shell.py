"""What tests of the command line share: pictures that are quickly learned, and a chain that takes seconds."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

Edgetl = Callable[..., subprocess.CompletedProcess[str]]

# A network of a few thousand weights, two epochs, small pictures: the chain in seconds, with nothing left out.
QUICK = {
    "data.image_size": 16,
    "augment.flip": "false",
    "augment.crop_area": 0.9,
    "augment.colour": 0,
    "teacher.epochs": 3,
    "student.epochs": 3,
    "teacher.learning_rate": 0.01,
    "student.learning_rate": 0.01,
    "teacher.batch_size": 16,
    "student.batch_size": 16,
    "distill.teacher_views": 2,
    "quantize.calibration_images": 32,
    "quantize.max_drop": 0.5,
}


def environment_of(cache: Path) -> dict[str, str]:
    """Plain output, a cache of the tests' own, and one thread.

    On networks of a few thousand weights a second thread only waits, and spins while it does.
    """
    settings = {"XDG_CACHE_HOME": str(cache), "NO_COLOR": "1", "COLUMNS": "120", "OMP_NUM_THREADS": "1"}
    return {**os.environ, **settings}


def paint_folder(root: Path, classes: dict[str, int], side: int = 16) -> Path:
    """Write PNG pictures of stripes, one direction and width per class, with some noise."""
    rng = np.random.default_rng(0)
    for number, (label, count) in enumerate(classes.items()):
        (root / label).mkdir(parents=True, exist_ok=True)
        for picture in range(count):
            ramp = np.arange(side)
            along = np.add.outer(ramp * (number % 2), ramp * ((number + 1) % 2)) + rng.integers(0, side)
            grey = 127 + 100 * np.sin(along * (0.8 + number // 2)) + rng.normal(0, 12, (side, side))
            pixels = np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
            Image.fromarray(pixels).save(root / label / f"{picture:03d}.png")
    return root


def quick(**more: object) -> list[str]:
    """The flags of a chain in seconds; `more` adds or replaces settings, with `__` for the dot."""
    settings = QUICK | {name.replace("__", "."): value for name, value in more.items()}
    return ["--weights", "none", *(f"--set={name}={value}" for name, value in settings.items())]
