"""Folders of small images to open, and a cache that is not the user's."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgetl.data.digits import digits_folder
from edgetl.data.index import ImageIndex
from edgetl.data.scan import scan
from edgetl.recipe.images import DataConfig
from edgetl.runs.reporter import Reporter

Paint = Callable[..., Path]
Scan = Callable[..., ImageIndex]


class Listener(Reporter):
    """Keeps what it hears."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that edgetl takes for the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder / "edgetl"


@pytest.fixture
def digits(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The embedded set, made once for all tests that only read it."""
    place = tmp_path_factory.getbasetemp() / "user-cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    return digits_folder()


@pytest.fixture
def paint(tmp_path: Path) -> Paint:
    """Write images of noise into a folder, each different from all before."""
    numbers: Iterator[int] = iter(range(10_000))

    def paint_into(folder: str, count: int = 1, *, size: tuple[int, int] = (6, 5), suffix: str = ".png") -> Path:
        place = tmp_path / "images" / folder
        place.mkdir(parents=True, exist_ok=True)
        for _ in range(count):
            number = next(numbers)
            pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), np.uint8)
            Image.fromarray(pixels).save(place / f"{number:04d}{suffix}")
        return place

    return paint_into


@pytest.fixture
def pets(paint: Paint, tmp_path: Path) -> Path:
    """An unsplit folder: ten cats, seven dogs."""
    paint("cat", 10)
    paint("dog", 7)
    return tmp_path / "images"


@pytest.fixture
def heard() -> Listener:
    """A reporter that keeps what it hears."""
    return Listener()


@pytest.fixture
def open_folder(heard: Listener) -> Scan:
    """Scan a folder as the data stage does."""

    def open_it(path: Path, *, seed: int = 0, **options: object) -> ImageIndex:
        return scan(path, DataConfig.model_validate(options), seed=seed, reporter=heard)[0]

    return open_it
