"""What every training leaves in a run folder: weights, metrics and test scores."""

import json
from typing import Any

import torch

from edgetl.data.index import ImageIndex
from edgetl.runs.files import write_atomic, write_json
from edgetl.runs.folder import WEIGHTS_FILE
from edgetl.runs.stage import StageContext, StageResult
from edgetl.train.balance import EVEN, Balance
from edgetl.train.best import kept_record
from edgetl.train.evaluation import Score, evaluate
from edgetl.train.schema import METRICS_FILE, PROBE_FILE, PROBE_SCHEMA
from edgetl.train.task import Outcome
from edgetl.train.weights import write_weights
from edgetl.zoo.classifier import Classifier

__all__ = ["write_trained"]


def write_trained(
    classifier: Classifier,
    model: dict[str, Any],
    outcome: Outcome,
    index: ImageIndex,
    context: StageContext,
    lineage: dict[str, Any] | None = None,
    *,
    balance: Balance = EVEN,
    plan: dict[str, Any] | None = None,
) -> StageResult:
    """Write a trained classifier and score it on the test split.

    Args:
        classifier: Trained, in eval mode; its network's weights are written.
        model: The manifest's `model` entry.
        outcome: How it was trained.
        index: The data.
        context: The stage's context.
        lineage: Which teachers the weights were learned from, for the manifest.
        balance: Of the training images; where they are uneven, the mean recall of the classes is reported, too.
        plan: How it was made to fit a time, if it was; `planned` in the record of the stage.
    """
    classifier.to("cpu")
    if context.processes.first:
        write_weights(context.out / WEIGHTS_FILE, classifier, model)
        write_atomic(context.out / METRICS_FILE, "".join(json.dumps(record) + "\n" for record in outcome.records))
    kept = kept_record(outcome.records)
    learned = {**outcome.learned, "val_images": outcome.val_images, **({"kept_epoch": kept["epoch"]} if kept else {})}
    score = evaluate(classifier, index, "test", context, torch.device("cpu"))
    metrics = {"test_top1": score.top1, "test_loss": score.loss, "val_top1": outcome.val_top1}
    if balance.is_uneven:
        metrics["test_balanced_top1"] = score.balanced_top1([sample.label for sample in index.split("test")])
    if outcome.as_probe:
        _write_probe(classifier, score, outcome, index, context)
    return StageResult(
        metrics=metrics,
        details={"learned": learned, **({"planned": plan} if plan else {})},
        facts={"model": model, "lineage": lineage or {}},
    )


def _write_probe(
    classifier: Classifier, kept: Score, outcome: Outcome, index: ImageIndex, context: StageContext
) -> None:
    """Write down which test images the probe has wrong, which the proof compares the network with."""
    score, is_kept = kept, outcome.learned["strategy"] == "features"
    if not is_kept:
        assert outcome.as_probe is not None
        outcome.as_probe()
        score = evaluate(classifier, index, "test", context, torch.device("cpu"))
    if context.processes.first:
        wrong = [sample.path for sample, right in zip(index.split("test"), score.right_N, strict=True) if not right]
        head = outcome.learned["probe"]["head"]
        found = {"head": head, "is_kept": is_kept, "test_top1": score.top1, "wrong": wrong}
        write_json(context.out / PROBE_FILE, {"schema_version": PROBE_SCHEMA, **found})
