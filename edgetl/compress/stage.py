"""Write an integer version of every float artifact of the run, and a receipt of what it took and cost."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from edgetl.artifact import write_atomic
from edgetl.compress.calibration import Calibration, affordable_count, balanced_samples, choose_calibration
from edgetl.compress.family import Family
from edgetl.compress.formats import quantizer_for, width_for
from edgetl.compress.graph import Layer
from edgetl.compress.judge import HeldOut, Judge, Limits
from edgetl.compress.ladder import Ladder, Open
from edgetl.compress.planner import Planner
from edgetl.compress.receipt import RECEIPT_FILE, receipt, shortfall
from edgetl.compress.rungs import Climb
from edgetl.compress.spread import calibration_spread
from edgetl.compress.widths import Width
from edgetl.data.index import ImageIndex, read_index
from edgetl.environment import machine, require
from edgetl.quiet import quiet
from edgetl.stage import StageContext, StageResult
from edgetl.zoo.deployable import Deployable, load_deployable

__all__ = ["run"]

_BATCH_IMAGES = 64
_HELD_OUT = 128


def run(context: StageContext) -> StageResult:
    """Quantize up the ladder; writes `model.w8a8.*`, `calibration.json` and the receipt, `quantize.json`.

    Raises:
        RunFolderError: Nothing was exported yet.
        DataError: The calibration folder cannot be used.
    """
    sources = [artifact for artifact in context.folder.artifacts() if artifact["precision"] == "fp32"]
    for source in sources:
        require(source["format"])
    config, index, deployable = context.recipe.quantize, read_index(context.folder), load_deployable(context.folder)
    calibration = choose_calibration(context, index)
    _record(context, calibration)
    with context.reporter.library("tracing"), quiet():
        planner = Planner(deployable, context.contract, context.contract.read(list(calibration.files.values())))
    judge, held_out = _judges(context, index, deployable)
    families = _Families(context, planner, held_out)
    formats = [_opened(context, source, planner, families) for source in sources]
    limits = Limits(config.max_drop, config.max_flips)
    Ladder(Climb(context), judge, context.contract, limits).climb(formats)
    spread = calibration_spread(formats[0].family, held_out, context.reporter)
    made = receipt(judge, limits, formats, spread, calibration.warnings)
    write_atomic(context.out / RECEIPT_FILE, json.dumps(made, indent=1, ensure_ascii=False) + "\n")
    for line in made["warnings"]:
        context.reporter.say(line)
    artifacts = [{"file": e.file.name, "format": e.name, "precision": config.scheme} for e in formats if e.best]
    found = [each.best.judgement.score for each in formats if each.best and each.best.judgement]
    metrics = {"worst_drop": max(e.drop for e in found), "worst_flips": max(e.flips for e in found)} if found else {}
    return StageResult(
        metrics=metrics,
        details={
            "artifacts": artifacts,
            "calibration_images": len(calibration.files),
            "float_layers": {each.name: list(each.best.in_float) for each in formats if each.best},
        },
        failure=shortfall(formats, limits),
    )


def _record(context: StageContext, calibration: Calibration) -> None:
    images = [{"path": name, "sha256": sha256} for name, sha256 in calibration.sha256s.items()]
    write_atomic(context.out / "calibration.json", json.dumps({"images": images}, indent=1) + "\n")


def _judges(context: StageContext, index: ImageIndex, deployable: Deployable) -> tuple[Judge, HeldOut]:
    """Validation images: all that files are judged by, and a part of them in memory, by which plans are compared."""
    contract, wanted = context.contract, context.recipe.quantize.validation_images
    samples = balanced_samples(index.split("val"), wanted, seed=context.recipe.seed)
    files = [index.file(sample) for sample in samples]
    labels_N = np.array([sample.label for sample in samples], dtype=np.int64)
    parts = []
    with context.reporter.track("Reference", len(files)) as advance, torch.inference_mode():
        for start in range(0, len(files), _BATCH_IMAGES):
            images_NHWC = contract.read(files[start : start + _BATCH_IMAGES])
            parts.append(deployable(torch.from_numpy(images_NHWC)).numpy())
            advance(len(images_NHWC), "")
    reference_NK = np.concatenate(parts)
    few = affordable_count(_HELD_OUT, contract.height, contract.width)
    held_out = HeldOut(contract.read(files[:few]), labels_N[:few], reference_NK[:few])
    threads = min(context.target.threads, machine()["cores"])
    return Judge(files, labels_N, reference_NK, threads), held_out


def _opened(context: StageContext, source: dict[str, str], planner: Planner, families: "_Families") -> Open:
    """A float file that is ready to climb, in the family of those that compute alike."""
    name, file = source["format"], context.out / source["file"].replace("fp32", context.recipe.quantize.scheme)
    with quiet():
        quantizer = quantizer_for(name, context.folder.file(source["file"]), planner.traced, planner.probes_NHWC)
    width = width_for(name, context.target)
    family = families.get(width, frozenset())
    with TemporaryDirectory(dir=context.out, prefix=".draft-") as folder, quiet():
        missing = quantizer.write(family.plan, context.contract, Path(folder, file.name))
    if missing:  # what was to be rounded and is not, the other layers must not make up for
        family = families.get(width, frozenset(missing))
    return Open(name, quantizer, family, file)


class _Families:
    """Each family, made once."""

    def __init__(self, context: StageContext, planner: Planner, held_out: HeldOut) -> None:
        self._context, self._planner, self._held_out = context, planner, held_out
        self._made: dict[tuple[Callable[[Layer], Width], frozenset[str]], Family] = {}

    def get(self, width: Callable[[Layer], Width], in_float: frozenset[str]) -> Family:
        if (width, in_float) not in self._made:
            reporter, ranges = self._context.reporter, self._context.recipe.quantize.ranges
            with reporter.track("Quantizing", self._planner.layers) as advance, reporter.library("calibration"):
                self._made[width, in_float] = Family(
                    self._planner, self._held_out, width, in_float, ranges, partial(advance, 1, "")
                )
        return self._made[width, in_float]
