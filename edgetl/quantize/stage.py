"""Write quantized versions of every float artifact of the run, and a receipt."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from edgetl.data.index import ImageIndex, read_index
from edgetl.errors import ConfigError
from edgetl.export.formats import SUFFIX
from edgetl.quantize.attempts import Contender, Trials
from edgetl.quantize.calibration import Calibration, affordable_count, balanced_samples, choose_calibration
from edgetl.quantize.estimate import planning_seconds
from edgetl.quantize.family import Family
from edgetl.quantize.formats import Quantizer, quantizer_for, width_for
from edgetl.quantize.graph import Layer
from edgetl.quantize.judge import HeldOut, Judge
from edgetl.quantize.ladder import Ladder, Open
from edgetl.quantize.planner import Planner
from edgetl.quantize.recall import Recall
from edgetl.quantize.receipt import Refused, receipt, shortfall
from edgetl.quantize.rungs import Climb
from edgetl.quantize.schema import RECEIPT_FILE
from edgetl.quantize.schemes import NOTES, SchemeWriter, refusal, sweep_of
from edgetl.quantize.spread import THIRDS, calibration_spread
from edgetl.quantize.sweep import SweepSettings
from edgetl.quantize.widths import Width
from edgetl.recipe.fields import FORMATS, Format, Scheme
from edgetl.runs.artifact import Artifact
from edgetl.runs.files import write_json
from edgetl.runs.installed import versions
from edgetl.runs.quiet import quiet
from edgetl.runs.stage import StageContext, StageResult
from edgetl.runs.verdict import Limits
from edgetl.zoo.deployable import Deployable, load_deployable

__all__ = ["run"]

RECALLED = ".quantized"
"""Folder of a run that keeps plans and judgements."""

_BATCH_IMAGES = 64
_FILE_S = 2.0
"""Seconds to write a file, start its runtime and time it."""

_SWEPT: tuple[Scheme, ...] = ("w8", "dynamic")
"""Schemes without a ladder that need a plan."""

_HELD_OUT = 128
"""Validation images in memory: plans are compared by divergence, which needs fewer images than top-1."""


def run(context: StageContext) -> StageResult:
    """Write the files of the recipe's schemes, such as `model.w8a8.*`, with `calibration.json` and `quantize.json`.

    Raises:
        RunFolderError: Nothing was exported yet.
        DataError: The calibration folder cannot be used.
        ConfigError: No format gains anything from any of the schemes.
    """
    floats = {each.format: each.file for each in context.folder.artifacts() if each.is_exact}
    sources = {name: floats[name] for name in FORMATS if name in floats}
    index, deployable = read_index(context.folder), load_deployable(context.folder)
    calibration = choose_calibration(context, index)
    _record(context, calibration)
    recall = Recall(context.folder.path / RECALLED, _about(context, index, calibration))
    with context.reporter.library("tracing"), quiet():
        images_NHWC = context.contract.read(list(calibration.files.values()))
        planner = Planner(deployable, context.contract, images_NHWC, recall)
    asked, refused = _sorted_out(context, tuple(sources), planner)
    start = time.perf_counter()
    judge, held_out = _judges(context, index, deployable)
    _say_what_to_expect(context, planner, asked, file_s=_FILE_S + time.perf_counter() - start)
    trials = Trials(judge, Limits.of(context.recipe), context.reporter, recall)
    work = _Work(context, planner, held_out, sources)
    contenders = [work.contender(name, scheme) for scheme, name in asked]
    climbing = [each for each in contenders if isinstance(each, Open)]
    Ladder(Climb(context), trials, context.contract).climb(climbing)
    for each in contenders:
        if not isinstance(each, Open):
            trials.attempt(each, "rounding", NOTES[each.precision], work.writer(each))
    spread = calibration_spread(climbing[0].family, held_out, context.reporter) if climbing else None
    made = receipt(trials, contenders, refused, spread, calibration.warnings)
    write_json(context.out / RECEIPT_FILE, made)
    for line in made["warnings"]:
        context.reporter.say(line)
    recall.forget_others()
    artifacts = tuple(Artifact.made(each.file, each.name, each.precision) for each in contenders if each.best)
    found = [each.best.judgement.score for each in contenders if each.best and each.best.judgement]
    metrics = {"worst_drop": max(e.drop for e in found), "worst_flips": max(e.flips for e in found)} if found else {}
    return StageResult(
        metrics=metrics,
        artifacts=artifacts,
        details={
            "calibration_images": len(calibration.files),
            "float_layers": {each.file.name: list(each.best.in_float) for each in contenders if each.best},
        },
        failure=shortfall(contenders, trials.limits),
    )


def _about(context: StageContext, index: ImageIndex, calibration: Calibration) -> dict[str, Any]:
    """What plans and judgements of this run depend on, beside what each was asked for."""
    return {
        "weights": context.folder.weights_sha256,
        "contract": context.contract.to_dict(),
        "calibration": calibration.sha256s,
        "validation": [sample.sha256 for sample in index.split("val")],
        "validation_images": context.recipe.quantize.validation_images,
        "seed": context.recipe.seed,
        "threads": context.threads,
        "machine": context.device.facts(),
        "versions": versions(),
    }


def _sorted_out(
    context: StageContext, formats: tuple[Format, ...], planner: Planner
) -> tuple[list[tuple[Scheme, Format]], list[Refused]]:
    """The schemes and formats to make, and those refused."""
    wanted = [(scheme, name) for scheme in context.recipe.quantize.scheme for name in formats]
    reasons = {each: refusal(*each, planner.traced) for each in wanted}
    refused = [Refused(name, scheme, reason) for (scheme, name), reason in reasons.items() if reason]
    asked = [each for each in wanted if not reasons[each]]
    if not asked:
        told = "; ".join(f"{each.format} {each.precision}: {each.reason}" for each in refused)
        raise ConfigError("quantize.scheme", f"no format gains anything ({told})")
    for each in refused:
        context.reporter.say(str(each))
    return asked, refused


def _say_what_to_expect(
    context: StageContext, planner: Planner, asked: Sequence[tuple[Scheme, Format]], *, file_s: float
) -> None:
    """Report how long the first file of each format and scheme will take, if writing and judging one takes `file_s`."""
    ranges, target = context.recipe.quantize.ranges, context.target
    wanted = [SweepSettings(width_for(name, target), ranges) for scheme, name in asked if scheme == "w8a8"]
    sweeps = [(settings, slice(None)) for settings in dict.fromkeys(wanted)]
    sweeps += [(settings, part) for settings in wanted[:1] for part in THIRDS]
    others = [sweep_of(scheme, width_for(name, target), planner.traced) for scheme, name in asked if scheme in _SWEPT]
    sweeps += [each for position, each in enumerate(others) if each not in others[:position]]
    with context.reporter.library("estimating the time"):
        plans_s = planning_seconds(planner, sweeps)
    more = "; each further attempt at a file that loses too much is more" if wanted else ""
    context.reporter.expect(plans_s + len(asked) * file_s, more)


def _record(context: StageContext, calibration: Calibration) -> None:
    images = [{"path": name, "sha256": sha256} for name, sha256 in calibration.sha256s.items()]
    write_json(context.out / "calibration.json", {"images": images})


def _judges(context: StageContext, index: ImageIndex, deployable: Deployable) -> tuple[Judge, HeldOut]:
    """A judge of files on the validation images, and a part of these in memory, on which plans are compared."""
    contract, wanted = context.contract, context.recipe.quantize.validation_images
    samples = balanced_samples(index.split("val"), wanted, seed=context.recipe.seed)
    files = [index.file(sample) for sample in samples]
    labels_N = np.array([sample.label for sample in samples], dtype=np.int64)
    parts = []
    with context.reporter.track("Reference", len(files), even=True) as advance, torch.inference_mode():
        for start in range(0, len(files), _BATCH_IMAGES):
            images_NHWC = contract.read(files[start : start + _BATCH_IMAGES])
            parts.append(deployable(torch.from_numpy(images_NHWC)).numpy())
            advance(len(images_NHWC), "")
    reference_NK = np.concatenate(parts)
    few = affordable_count(_HELD_OUT, contract.height, contract.width)
    held_out = HeldOut(contract.read(files[:few]), labels_N[:few], reference_NK[:few])
    return Judge(files, labels_N, reference_NK, context.device, context.threads), held_out


class _Work:
    """Plans and writers of files; each is made once.

    Args:
        context: The stage's.
        planner: Makes plans.
        held_out: Images on which plans are compared.
        sources: Float files by format.
    """

    def __init__(self, context: StageContext, planner: Planner, held_out: HeldOut, sources: dict[Format, str]) -> None:
        self._context, self._planner, self._held_out, self._sources = context, planner, held_out, sources
        self._schemes = SchemeWriter(planner, context.contract)
        self._quantizers: dict[Format, Quantizer] = {}
        self._families: dict[tuple[Callable[[Layer], Width], frozenset[str]], Family] = {}

    def contender(self, name: Format, scheme: Scheme) -> Contender:
        """A file to be made; one in `w8a8` climbs, in the family of formats with the same plan."""
        file = self._context.out / f"model.{scheme}{SUFFIX[name]}"
        if scheme != "w8a8":
            return Contender(name, scheme, file)
        quantizer, width = self._quantizer(name), width_for(name, self._context.target)
        family = self._family(width, frozenset())
        with TemporaryDirectory(dir=self._context.out, prefix=".draft-") as folder, quiet():
            missing = quantizer.write(family.plan, self._context.contract, Path(folder, file.name))
        if missing:  # other layers must not compensate for roundings that are missing in the file
            family = self._family(width, frozenset(missing))
        return Open(name, scheme, file, quantizer, family)

    def writer(self, each: Contender) -> Callable[[Path], tuple[str, ...]]:
        """A function that writes a file that does not climb."""
        width = width_for(each.name, self._context.target)
        return partial(self._schemes.write, each.precision, self._quantizer(each.name), width)

    def _quantizer(self, name: Format) -> Quantizer:
        if name not in self._quantizers:
            source, planner = self._context.folder.file(self._sources[name]), self._planner
            with quiet():
                self._quantizers[name] = quantizer_for(name, source, planner.traced, planner.probes_NHWC)
        return self._quantizers[name]

    def _family(self, width: Callable[[Layer], Width], in_float: frozenset[str]) -> Family:
        if (width, in_float) not in self._families:
            title = f"Plan {len(self._families) + 1}"
            reporter, ranges = self._context.reporter, self._context.recipe.quantize.ranges
            with reporter.track(title, self._planner.layers) as advance, reporter.library("calibration"):
                self._families[width, in_float] = Family(
                    self._planner, self._held_out, width, in_float, ranges, partial(advance, 1, "")
                )
        return self._families[width, in_float]
