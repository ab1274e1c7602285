"""Write an integer version of every float artifact of the run."""

import json
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from edgetl.artifact import write_atomic
from edgetl.compress.calibration import affordable_count, calibration_samples
from edgetl.compress.formats import quantizer_for, width_for
from edgetl.compress.graph import Layer
from edgetl.compress.plan import Plan
from edgetl.compress.planner import Planner
from edgetl.compress.sweep import SweepSettings
from edgetl.compress.widths import Width
from edgetl.data.index import read_index
from edgetl.environment import require
from edgetl.quiet import quiet
from edgetl.stage import StageContext, StageResult
from edgetl.zoo.deployable import load_deployable

__all__ = ["run"]


def run(context: StageContext) -> StageResult:
    """Quantize after training; writes `model.w8a8.*` and `calibration.json`, the images that set the ranges.

    Raises:
        RunFolderError: Nothing was exported yet.
    """
    config, contract = context.recipe.quantize, context.contract
    sources = [artifact for artifact in context.folder.artifacts() if artifact["precision"] == "fp32"]
    for source in sources:
        require(source["format"])
    images_NHWC = _calibration_images(context)
    with context.reporter.library("tracing"), quiet():
        planner = Planner(load_deployable(context.folder), contract, images_NHWC)
    plans = _Plans(context, planner)
    artifacts, in_float = [], {}
    for source in sources:
        name = source["format"]
        file = context.out / source["file"].replace("fp32", config.scheme)
        with quiet():
            quantizer = quantizer_for(name, context.folder.file(source["file"]), planner.traced, planner.probes_NHWC)
        width = width_for(name, context.target)
        if missing := quantizer.write(plans.get(width), contract, file):
            # What was to be rounded and is not, the other layers must not make up for.
            quantizer.write(plans.get(width, frozenset(missing)), contract, file)
            in_float[name] = missing
            context.reporter.say(
                f"{file.name}: stay in float, as the file computes them in another form: {', '.join(missing)}"
            )
        artifacts.append({"file": file.name, "format": name, "precision": config.scheme})
    if dead := plans.dead:
        context.reporter.say(f"Dead layers, whose output no calibration image changes: {', '.join(dead)}")
    details = {
        "artifacts": artifacts,
        "calibration_images": len(images_NHWC),
        "float_layers": in_float,
        "dead_layers": dead,
    }
    return StageResult(details=details)


def _calibration_images(context: StageContext) -> NDArray[np.uint8]:
    """The images that set the ranges, whose names and hashes are kept."""
    index = read_index(context.folder)
    wanted = context.recipe.quantize.calibration_images
    count = affordable_count(wanted, context.contract.height, context.contract.width)
    if count < wanted:
        context.reporter.say(
            f"Calibration: {count} images instead of {wanted}; of this size more may not fit in memory."
        )
    samples = calibration_samples(index, count, seed=context.recipe.seed)
    write_atomic(
        context.out / "calibration.json",
        json.dumps({"images": [{"path": s.path, "sha256": s.sha256} for s in samples]}, indent=1) + "\n",
    )
    return context.contract.read([index.file(sample) for sample in samples])


class _Plans:
    """Plans by the width of weights and the layers that stay in float, each made once."""

    def __init__(self, context: StageContext, planner: Planner) -> None:
        self._context, self._planner = context, planner
        self._made: dict[tuple[Callable[[Layer], Width], frozenset[str]], Plan] = {}

    @property
    def dead(self) -> list[str]:
        """Layers that did nothing for any calibration image."""
        return sorted({name for plan in self._made.values() for name in plan.dead})

    def get(self, width: Callable[[Layer], Width], in_float: frozenset[str] = frozenset()) -> Plan:
        if (width, in_float) not in self._made:
            settings = SweepSettings(width, self._context.recipe.quantize.ranges, in_float=in_float)
            reporter = self._context.reporter
            with reporter.track("Quantizing", self._planner.layers) as advance, reporter.library("calibration"):
                self._made[width, in_float] = self._planner.plan(settings, partial(advance, 1, ""))
        return self._made[width, in_float]
