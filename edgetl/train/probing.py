"""How well a head fits a network's features: what a teacher is chosen by, before anything is trained."""

import numpy as np

from edgetl.data.grid import ViewGrid
from edgetl.data.index import read_index
from edgetl.data.views import Views
from edgetl.runs.stage import StageContext, StageResult
from edgetl.train.backbone import record_backbone
from edgetl.train.strategies.features import probed
from edgetl.train.task import LabelTeaching
from edgetl.train.transfer import open_task
from edgetl.zoo.build import build_classifier

__all__ = ["run"]

_MOST = 1000
"""Images that are looked at."""


def run(context: StageContext) -> StageResult:
    """Fit the probe on the plain images that may be learned from; nothing is written but the record."""
    recipe, contract, index = context.recipe, context.contract, read_index(context.folder)
    with context.reporter.library("building the model"):
        classifier, model = build_classifier(recipe.teacher, len(contract.labels), contract.height, seed=recipe.seed)
    samples = sorted((*index.split("train"), *index.split("val")), key=lambda sample: sample.path)
    count = min(len(samples), _MOST)
    chosen = [samples[position] for position in np.arange(count) * len(samples) // count]
    task = open_task(
        classifier,
        ViewGrid(index, chosen, Views(contract), 0, evaluation=True),
        LabelTeaching(0.0),
        context,
        section="teacher",
        title=f"Looking at {recipe.teacher.model}",
        name="probe",
        seed=recipe.seed,
    )
    backbone = record_backbone(classifier, task.grid, None, context, section="teacher", checkpoints=task.name)
    probe = probed(task, backbone).probe
    multiply_adds = sum(stage.multiply_adds for stage in task.stages)
    return StageResult(
        metrics={"val_top1": probe.top1},
        details={
            "learned": {"val_images": len(probe.right_N), "head": probe.kind},
            "multiply_adds": multiply_adds,
            "parameters": model["parameters"],
        },
    )
