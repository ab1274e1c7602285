"""What a backend is: a model file opened in one runtime, with the timed part in a method of its own."""

from __future__ import annotations

import platform
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from textwrap import shorten
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import BrokenModel, MissingRuntime, UnsupportedDevice, WrongImages
from ..guard import within
from ..operators import Profile
from ..telemetry import switch_off_telemetry

__all__ = ["Backend", "Session", "UnsupportedDevice"]

_CHUNK_IMAGES = 32
"""Images per call of a model that takes any number: enough to fill the cores, few enough for a small memory."""
_REASON_LETTERS = 300
_INSIDE_EDGETL = __name__.startswith("edgetl.")
"""Or in the distribution of its own, `edgetl_runner`."""


@dataclass(frozen=True)
class Session:
    """How a model is to be run."""

    threads: int
    """Threads that one inference may use."""

    device: str = "cpu"
    """`cpu`, or another device that the backend knows."""


class Backend(ABC):
    """A model file, open and ready.

    A subclass names its runtime, opens the file in `__init__` (which calls `_accept`), and has three short steps:
    `prepare` makes what the runtime eats, `infer` runs it and is all that a benchmark times, `finish` makes
    probabilities of what came back.
    """

    module: ClassVar[str]
    """The module that a user must have installed."""

    extra: ClassVar[str]
    """The extra of edgetl that brings it."""

    package: ClassVar[str]
    """What to install with pip on a device, where the runner is alone."""

    suffixes: ClassVar[tuple[str, ...]]
    """Endings of the files that it opens, with the dot."""

    def __init__(self, path: Path, session: Session) -> None:
        self._path = path
        self._threads = session.threads
        self._input_shape: tuple[int | None, ...] = ()

    @classmethod
    def runtime(cls) -> Any:
        """Import the runtime, without its reporting home, which would run beside what is timed.

        Raises:
            MissingRuntime: It is not installed, or is but does not load.
        """
        switch_off_telemetry()
        return cls._import(cls.module)

    @abstractmethod
    def prepare(self, images: NDArray[np.uint8]) -> Any:
        """Make the runtime's input of `(N, H, W, 3)`; N is the model's batch if that is fixed."""

    @abstractmethod
    def infer(self, feed: Any) -> Any:
        """Run the model on what `prepare` made."""

    @abstractmethod
    def finish(self, raw: Any) -> NDArray[np.float32]:
        """Make probabilities `(N, K)` of what `infer` returned."""

    @abstractmethod
    def provider(self) -> str:
        """Name of what really computes, as the runtime calls it."""

    @abstractmethod
    def contract_json(self) -> str | None:
        """The contract that the file carries, or None."""

    def profile(self, feeds: list[Any], *, warmup_runs: int, runs: int) -> Profile:  # noqa: ARG002  backends use them
        """Tell the operators that the runtime executes, with their times where it keeps them.

        It may open the file a second time, since a runtime that keeps times is slower than the one that is timed.

        Args:
            feeds: What `prepare` made, at least one; they take turns.
            warmup_runs: Runs that do not count.
            runs: Runs that do.
        """
        return Profile([], timed=False, source=f"{self.module} tells nothing about its operators here")

    @property
    def batch(self) -> int | None:
        """Images per call, or None if the model takes any number."""
        return self._input_shape[0]

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute probabilities `(N, K)` of images `(N, H, W, 3)`, in calls of a suitable size.

        Raises:
            WrongImages: They are not what the model takes.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or not len(images) or not self._fits(images.shape):
            expected = _text("uint8", self._input_shape)
            raise WrongImages(f"{self._path}: expected images {expected}, got {_text(images.dtype.name, images.shape)}")
        size = self.batch or _CHUNK_IMAGES
        chunks = []
        for start in range(0, len(images), size):
            with within(size):
                chunks.append(self._run_chunk(images[start : start + size]))
        return np.concatenate(chunks)

    def facts(self) -> dict[str, Any]:
        """Say what runs the model: name and version of the runtime, what computes, threads, images per call."""
        runtime = self.runtime()
        return {
            "name": runtime.__name__.replace("_", "-"),
            "version": runtime.__version__.partition("-")[0],
            "provider": self.provider(),
            "threads": self._threads,
            "input_batch": self.batch,
        }

    def _run_chunk(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        count = len(images)
        if self.batch and count < self.batch:
            # A fixed batch must be full; what the copies of the last image give is cut off again.
            images = np.concatenate([images, np.repeat(images[-1:], self.batch - count, axis=0)])
        probabilities_NK = self.finish(self.infer(self.prepare(images)))
        if probabilities_NK.ndim != 2 or len(probabilities_NK) != len(images):
            raise BrokenModel(f"{self._path}: expected an output (N, K), got {probabilities_NK.shape}")
        return probabilities_NK[:count]

    def _only_cpu(self, session: Session) -> None:
        if session.device != "cpu":
            raise UnsupportedDevice(f"{self.module} runs on 'cpu' here, not on '{session.device}'")

    def _accept(self, inputs: list[tuple[str, tuple[int | None, ...]]], outputs: int) -> None:
        """Check that the model has one input `uint8 (N, H, W, 3)` and one output, and remember the input's shape.

        Args:
            inputs: Element type, as NumPy calls it, and shape of each; None stands for any size.
            outputs: How many there are.
        """
        found = ", ".join(_text(*each) for each in inputs)
        shape = inputs[0][1] if inputs else ()
        if len(inputs) != 1 or inputs[0][0] != "uint8" or len(shape) != 4 or shape[3] not in (3, None):
            raise BrokenModel(f"{self._path}: expected one input uint8 (N, H, W, 3), found {found or 'none'}")
        if outputs != 1:
            raise BrokenModel(f"{self._path}: expected one output, found {outputs}")
        self._input_shape = shape

    def _fits(self, shape: tuple[int, ...]) -> bool:
        sizes = zip(shape[1:], self._input_shape[1:])  # both have four axes
        return shape[3] == 3 and all(wanted in (size, None) for size, wanted in sizes)

    @contextmanager
    def _loading(self) -> Iterator[None]:
        """Turn whatever the runtime raises while it opens the file into one line; runtimes share no exception class."""
        try:
            yield
        except Exception as cause:
            name = self.runtime().__name__
            raise BrokenModel(f"{self._path}: {name} cannot open it ({_last_line(cause)})") from cause

    @classmethod
    def _import(cls, module: str) -> Any:
        """Import the runtime or a part of it."""
        try:
            return import_module(module)
        except ModuleNotFoundError as cause:
            if cause.name != module.partition(".")[0]:
                raise MissingRuntime(f"{module} is installed but incomplete ({cause}). Install it again") from cause
            raise MissingRuntime(f"{module} is not installed. Run: pip install {cls._what_to_install()}") from cause
        except ImportError as cause:
            cure = f"Install a release for Python {platform.python_version()} and NumPy {np.__version__}"
            problem = f"{module} is installed but does not load ({_last_line(cause)})"
            raise MissingRuntime(f"{problem}. {cure}") from cause

    @classmethod
    def _what_to_install(cls) -> str:
        return f"'edgetl[{cls.extra}]'" if _INSIDE_EDGETL else cls.package


def _last_line(cause: BaseException) -> str:
    """OpenVINO puts source lines first and the reason last; LiteRT puts a reason for every tensor into one line."""
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return shorten(lines[-1], _REASON_LETTERS, placeholder=" ...") if lines else type(cause).__name__


def _text(dtype: str, shape: tuple[int | None, ...]) -> str:
    return f"{dtype} ({', '.join('any' if size is None else str(size) for size in shape)})"
