"""A run folder around the tiny model, as the stages before `verify` and `bench` leave it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import tiny

from edgetl.artifact import RunFolder, sha256_of
from edgetl.config import BenchConfig, Recipe
from edgetl.data.index import ImageIndex, Sample
from edgetl.reporter import Reporter
from edgetl.stage import StageContext
from edgetl.targets import find_target

TEST_IMAGES = 60
# One timed second per series is the least that a recipe allows; tests need none.
FAST_BENCH = BenchConfig.model_construct(threads="auto", warmup_runs=3, min_samples=64, min_seconds=0.0)
RECIPE = Recipe(target="linux-x86").model_copy(update={"bench": FAST_BENCH})


def context(place: Path, artifacts: list[tuple[str, str, dict[str, Any]]]) -> StageContext:
    """Make a run folder with artifacts and the context of a stage that reads it.

    Args:
        place: An empty folder.
        artifacts: Format, precision and options of `tiny.build`; `w8a8` ones belong to the stage quantize.
    """
    run = place / "run"
    run.mkdir()
    index = _index(place / "images")
    (run / "data.json").write_text(json.dumps(index.to_dict()), encoding="utf-8")
    built = [_artifact(run, *each) for each in artifacts]
    exported = [each for each in built if each["precision"] == "fp32"]
    quantized = [each for each in built if each["precision"] != "fp32"]
    manifest: dict[str, Any] = {"schema_version": 1, "contract": tiny.CONTRACT.to_dict(), "files": {}, "metrics": {}}
    manifest["stages"] = {"export": {"artifacts": exported}}
    if quantized:
        manifest["stages"]["quantize"] = {"artifacts": quantized}
    out = run / ".partial-stage"
    out.mkdir()
    folder = RunFolder(run, manifest)
    return StageContext(RECIPE, find_target("linux-x86"), folder, out, Reporter(), inputs="")


def _artifact(run: Path, format_name: str, precision: str, options: dict[str, Any]) -> dict[str, str]:
    name = f"model.{precision}{Path(tiny.FILE_OF_FORMAT[format_name]).suffix}"
    tiny.build(format_name, run, name=name, **options)
    return {"file": name, "format": format_name, "precision": precision}


def _index(root: Path) -> ImageIndex:
    """True labels are what the tiny model says, but every tenth is wrong: its top-1 is 90 %."""
    images = tiny.some_images(TEST_IMAGES, seed=7)
    files = tiny.write_images(root, images)
    labels_N = tiny.reference(images).argmax(axis=1)
    labels_N[::10] = (labels_N[::10] + 1) % len(tiny.LABELS)
    pairs = zip(files, np.asarray(labels_N).tolist(), strict=True)
    samples = tuple(Sample(file.name, label, "test", sha256_of(file)) for file, label in pairs)
    other = Sample(files[0].name, 0, "train", samples[0].sha256)
    return ImageIndex(root, tiny.LABELS, (*samples, other), unreadable={}, median_side=tiny.SIDE)
