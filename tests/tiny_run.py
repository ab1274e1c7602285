"""A run folder around the tiny model, as the stages before `verify` and `bench` leave it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import small_run
import tiny

from edgetl.data.index import ImageIndex, Sample
from edgetl.devices.profiles import find_target
from edgetl.recipe.fields import BenchConfig, Recipe
from edgetl.runs.artifact import Artifact
from edgetl.runs.files import sha256_of
from edgetl.runs.reporter import Reporter
from edgetl.runs.stage import StageContext

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
    (run / "data.json").write_text(json.dumps(index.to_dict(run)), encoding="utf-8")
    built = [_artifact(run, *each) for each in artifacts]
    stages = {"data": {"files": ["data.json"]}}
    for stage, chosen in (
        ("export", [each for each in built if each.is_exact]),
        ("quantize", [each for each in built if not each.is_exact]),
    ):
        if chosen:
            files = [name for each in chosen for name in each.files]
            stages[stage] = {"artifacts": [each.to_dict() for each in chosen], "files": files}
    folder = small_run.run_of(run, stages, contract=tiny.CONTRACT.to_dict())
    out = run / ".partial-stage"
    out.mkdir()
    return StageContext(RECIPE, find_target("linux-x86"), folder, out, Reporter(), inputs="")


def _artifact(run: Path, format_name: str, precision: str, options: dict[str, Any]) -> Artifact:
    name = f"model.{precision}{Path(tiny.FILE_OF_FORMAT[format_name]).suffix}"
    if options.get("damaged"):
        (run / name).write_bytes(b"damaged")
    else:
        tiny.build(format_name, run, name=name, **options)
    return Artifact.made(run / name, format_name, precision)


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
