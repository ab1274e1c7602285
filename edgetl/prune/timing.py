"""How fast a pruned network is compared with the unpruned one: both are exported and timed in turns.

Each runs in a fresh process, with one thread unless the recipe says how many. With more threads, the result would
depend on threads that wait for each other, or for those of another program. On two busy cores, a file compared with
itself took 0.97 to 1.01 of its time with one thread, and 0.95 to 3.6 with two.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgetl.data.index import read_index
from edgetl.devices.measuring import Timing, median_ms, time_model
from edgetl.devices.profiles import Target
from edgetl.errors import MissingExtra
from edgetl.export.formats import SUFFIX
from edgetl.export.writing import write_artifact
from edgetl.recipe.fields import Format, Recipe
from edgetl.runs.installed import missing
from edgetl.runs.quiet import quiet
from edgetl.runs.stage import StageContext
from edgetl.zoo.classifier import Classifier
from edgetl.zoo.deployable import deployable_of

__all__ = ["Speedup", "Stopwatch", "take_turns", "timed_format"]

_THREADS = 1
_QUICKEST_TO_WRITE: tuple[Format, ...] = ("openvino", "onnx", "tflite")
_FEWEST_TURNS, _MOST_TURNS = 3, 9
_AGREEMENT = 0.03
_TIMED_IMAGES, _MIN_SECONDS = 8, 0.3


@dataclass(frozen=True)
class Speedup:
    """Median times of one inference, for two networks that were timed in turns."""

    p50_ms: float
    unpruned_p50_ms: float
    latency_ratio: float
    """Time of the pruned network divided by the unpruned one's: the median over the turns."""

    latency_ratio_low: float
    latency_ratio_high: float
    """Lowest and highest ratio of any turn."""


def timed_format(recipe: Recipe, target: Target) -> Format:
    """The format that latency is measured in: of the wanted ones that can run here, the quickest to write.

    Raises:
        MissingExtra: No runtime is installed.
    """
    asked = target.formats if recipe.export.formats == "auto" else recipe.export.formats
    wanted = [name for name in _QUICKEST_TO_WRITE if name in asked]
    for name in wanted:
        if not missing(name):
            return name
    raise MissingExtra(missing(wanted[0])[0], wanted[0])


def take_turns(turn: Callable[[], tuple[float, float]]) -> NDArray[np.float64]:
    """Time two networks in turns: at least three, at most nine, until half of the ratios agree within 3 %.

    Another program that starts or ends during a turn can make that turn's ratio meaningless.

    Args:
        turn: Times both networks once.

    Returns:
        `(turns, 2)` times.
    """
    times: list[tuple[float, float]] = []
    while len(times) < _MOST_TURNS:
        times.append(turn())
        ratios_T = np.array([own / other for own, other in times])
        middle = float(np.median(ratios_T))
        agreed = float(np.median(np.abs(ratios_T - middle))) <= _AGREEMENT * middle
        if len(times) >= _FEWEST_TURNS and agreed:
            break
    return np.array(times)


class Stopwatch:
    """Times networks against the unpruned one, which is timed again each time because a machine's speed drifts.

    Args:
        context: The stage's context.
        unpruned: The network to compare with.
        folder: Where files are written; the caller removes it.
    """

    def __init__(self, context: StageContext, unpruned: Classifier, folder: Path) -> None:
        self._context, self._folder = context, folder
        self.format = timed_format(context.recipe, context.target)
        self._images = read_index(context.folder).spread("test", _TIMED_IMAGES)
        self._unpruned = unpruned
        self.threads = _THREADS if context.recipe.bench.threads == "auto" else context.threads
        """Threads of one inference."""

    def time(self, pruned: Classifier) -> Speedup:
        """Time a network.

        Raises:
            RunnerFailed: The runtime died, or could not run the network.
        """
        file = self._written(pruned, "pruned")
        times_T2 = take_turns(lambda: (self._median_ms(file), self._median_ms(self._unpruned_file)))
        ratios_T = times_T2[:, 0] / times_T2[:, 1]
        own_ms, other_ms = np.median(times_T2, axis=0)
        return Speedup(
            p50_ms=float(own_ms),
            unpruned_p50_ms=float(other_ms),
            latency_ratio=float(np.median(ratios_T)),
            latency_ratio_low=float(ratios_T.min()),
            latency_ratio_high=float(ratios_T.max()),
        )

    @cached_property
    def _unpruned_file(self) -> Path:
        return self._written(self._unpruned, "unpruned")

    def _written(self, classifier: Classifier, name: str) -> Path:
        file = self._folder / f"{name}{SUFFIX[self.format]}"
        with self._context.reporter.library(f"{self.format} conversion"), quiet():
            write_artifact(self.format, deployable_of(classifier), self._context.contract, file, self._context.target)
        return file

    def _median_ms(self, file: Path) -> float:
        bench = self._context.recipe.bench
        timing = Timing(bench.warmup_runs, bench.min_samples, _MIN_SECONDS)
        with self._context.reporter.library("timed inference"):
            return median_ms(time_model(self._context.device, file, self._images, threads=self.threads, timing=timing))
