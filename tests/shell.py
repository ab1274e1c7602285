"""What tests of the command line share: pictures that are quickly learned, and a chain that takes seconds."""

import json
import os
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
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


def in_process(arguments: list[str], cwd: Path | None, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the command line in this process, as one of its own would: what it writes, and its exit code."""
    from edgetl.cli import main

    with ExitStack() as stack:
        out, err = (stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8")) for _ in range(2))
        for number, stream in ((1, out), (2, err)):
            stack.enter_context(_descriptor(number, stream.fileno()))
        stack.enter_context(redirect_stdout(out))
        stack.enter_context(redirect_stderr(err))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(sys, "argv", ["edgetl", *arguments])
        for name, value in env.items():
            patch.setenv(name, value)
        if cwd:
            patch.chdir(cwd)
        code = _exit_code(main)
        texts = []
        for stream in (out, err):
            stream.flush()
            texts.append(os.pread(stream.fileno(), 1 << 24, 0).decode())
    return subprocess.CompletedProcess(arguments, code, *texts)


def _exit_code(main: Callable[[], None]) -> int:
    with warnings.catch_warnings():  # a library's warning is no error outside of pytest
        warnings.simplefilter("default")
        try:
            main()
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(end.code is not None)
        except Exception:
            traceback.print_exc()
            return 1
    return 0


@contextmanager
def _descriptor(number: int, other: int) -> Iterator[None]:
    """Let what is written to a file descriptor go to another one while inside, as native libraries do it."""
    saved = os.dup(number)
    os.dup2(other, number)
    try:
        yield
    finally:
        os.dup2(saved, number)
        os.close(saved)


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


def keep_one_format(run: Path, wanted: str = "onnx") -> None:
    """Make the test shorter: a run that has only one format."""
    file = run / "manifest.json"
    manifest = json.loads(file.read_text())
    for name in ("export", "quantize"):
        stage = manifest["stages"][name]
        stage["artifacts"] = [each for each in stage["artifacts"] if each["format"] == wanted]
    file.write_text(json.dumps(manifest))
