"""The proof: compare every artifact, run as on a device, with the trained model on the whole test split."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgetl.data.index import ImageIndex, read_index
from edgetl.devices.measuring import predict
from edgetl.quantize.schema import shortfalls_of
from edgetl.runner.contract import Contract
from edgetl.runs.artifact import EXACT, Artifact
from edgetl.runs.files import write_json
from edgetl.runs.intervals import wilson
from edgetl.runs.stage import StageContext, StageResult
from edgetl.runs.verdict import Limits, Status, Verdict
from edgetl.train.schema import read_probe
from edgetl.verify.comparison import Tolerance, compare, top1_of
from edgetl.verify.schema import PREDICTIONS_FILE, REFERENCE, VERIFY_FILE, VERIFY_SCHEMA
from edgetl.verify.worth import Judged, Worth, worth_of

if TYPE_CHECKING:
    import torch

__all__ = ["run"]

_BATCH_IMAGES = 64


def run(context: StageContext) -> StageResult:
    """Run every artifact over the raw files of the test split, compare with PyTorch, and write `verify.json`.

    The probabilities themselves go to `predictions.npz`: `float32 (N, K)` by artifact, and `reference`.

    A file that is no longer what its stage wrote fails; the other files still get their verdicts.

    Raises:
        RunFolderError: Nothing has been exported yet.
        RunnerFailed: A runtime is missing, or died.
    """
    artifacts = context.folder.artifacts()
    index = read_index(context.folder)
    samples = index.split("test")
    files = [index.file(sample) for sample in samples]
    labels_N = np.array([sample.label for sample in samples], dtype=np.int64)
    outside = shortfalls_of(context.folder, Limits.of(context.recipe))
    with context.reporter.track("Verify", len(artifacts) + 1, even=True) as advance:
        reference_NK, runtime = _reference(context, files)
        advance(1, runtime)
        entries, predictions = [], {REFERENCE: reference_NK}
        for artifact in artifacts:
            if damage := context.folder.damage_of(artifact):
                entries.append(_unproven(artifact, damage))
            else:
                outputs_NK, facts = _predict(context, artifact, files)
                entries.append(_check(context, artifact, outputs_NK, facts, labels_N, reference_NK, outside))
                predictions[artifact.file] = outputs_NK
            advance(1, artifact.file)
    np.savez_compressed(context.out / PREDICTIONS_FILE, allow_pickle=False, **predictions)
    report = {
        "schema_version": VERIFY_SCHEMA,
        "test_images": len(files),
        "worth": _worth(context, index, labels_N, reference_NK.argmax(1)).to_dict(),
        "reference": {"runtime": runtime, **_accuracy(top1_of(reference_NK, labels_N), len(files))},
        "artifacts": entries,
        "passed": all(entry["verdict"]["status"] != "FAIL" for entry in entries),
    }
    write_json(context.out / VERIFY_FILE, report)
    return StageResult(
        metrics=_metrics(report), failure=_told(entries, "FAIL"), undecided=_told(entries, "INCONCLUSIVE")
    )


def _reference(context: StageContext, files: list[Path]) -> tuple[NDArray[np.float32], str]:
    """Probabilities `(N, K)` of the trained model, in PyTorch, and PyTorch's name and version."""
    import torch

    from edgetl.zoo.deployable import load_deployable

    model = load_deployable(context.folder)
    starts = range(0, len(files), _BATCH_IMAGES)
    batches = (context.contract.read(files[start : start + _BATCH_IMAGES]) for start in starts)
    parts = [_forward(context, model, images) for images in batches]
    return np.concatenate(parts), f"torch {torch.__version__.partition('+')[0]}"


def _forward(context: StageContext, model: "torch.nn.Module", images: NDArray[np.uint8]) -> NDArray[np.float32]:
    import torch

    with context.reporter.library("verification inference"), torch.inference_mode():
        probabilities_NK: NDArray[np.float32] = model(torch.from_numpy(images)).numpy()
    return probabilities_NK


def _worth(
    context: StageContext, index: ImageIndex, labels_N: NDArray[np.int64], answers_N: NDArray[np.int64]
) -> Worth:
    """What the test images say of the trained network, beside the probe of its pretrained features."""
    probe = read_probe(context.folder)
    is_probe, wrong = bool(probe and probe["is_kept"]), set(probe["wrong"] if probe else ())
    right_N = np.array([sample.path not in wrong for sample in index.split("test")]) if probe else None
    trained_on, validated_on = (
        tuple(np.bincount([sample.label for sample in index.split(split)], minlength=len(index.labels)).tolist())
        for split in ("train", "val")
    )
    return worth_of(Judged(labels_N, index.labels, answers_N, right_N, trained_on, validated_on, is_probe=is_probe))


def _accuracy(top1: float, images: int) -> dict[str, float]:
    """An accuracy with its 95 % interval."""
    low, high = wilson(round(top1 * images), images)
    return {"top1": top1, "top1_low": low, "top1_high": high}


def _predict(
    context: StageContext, artifact: Artifact, files: Sequence[Path]
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Run an artifact from the raw files, reading them as its own contract says."""
    with context.reporter.library("verification inference"):
        return predict(context.device, context.folder.path / artifact.file, files, threads=context.threads)


def _check(
    context: StageContext,
    artifact: Artifact,
    outputs_NK: NDArray[np.float32],
    facts: dict[str, Any],
    labels_N: NDArray[np.int64],
    reference_NK: NDArray[np.float32],
    outside: dict[str, list[str]],
) -> dict[str, Any]:
    runtime = facts["runtime"]
    told = {
        **artifact.named(),
        "runtime": {key: runtime[key] for key in ("name", "version", "provider")},
        "threads": runtime["threads"],
    }
    if outputs_NK.shape != reference_NK.shape:
        gave, trained = outputs_NK.shape[1], reference_NK.shape[1]
        problem = f"it gives {gave} classes, the trained network {trained}; export it again"
        return {**told, "verdict": asdict(Verdict.of([problem]))}
    comparison = compare(
        reference_NK,
        outputs_NK,
        labels_N,
        precision=artifact.precision,
        tolerance=_tolerance(context),
        limits=Limits.of(context.recipe),
    )
    reasons = comparison.verdict.reasons
    is_open = comparison.verdict.status == "INCONCLUSIVE"
    failures = [
        *_contract_failures(facts["contract"], context.contract),
        *(() if is_open else reasons),
        *(f"on the validation images {reason}" for reason in outside.get(artifact.file, [])),
    ]
    verdict = Verdict.of(failures, reasons if is_open else ())
    return {**told, **asdict(comparison), "verdict": asdict(verdict)}


def _unproven(artifact: Artifact, damage: str) -> dict[str, Any]:
    """The entry of a file that was not run, because it is not what its stage wrote."""
    return {**artifact.named(), "verdict": asdict(Verdict.of([damage]))}


def _tolerance(context: StageContext) -> Tolerance:
    config = context.recipe.verify
    return Tolerance(config.max_probability_error, config.max_half_probability_error, config.tie_gap)


def _contract_failures(embedded: str, contract: Contract) -> list[str]:
    carried, expected = Contract.from_json(embedded).to_dict(), contract.to_dict()
    differing = sorted(key for key in expected if carried[key] != expected[key])
    return [f"its contract differs from the run's in {', '.join(differing)}"] if differing else []


def _metrics(report: dict[str, Any]) -> dict[str, float]:
    run = [each for each in report["artifacts"] if "drop" in each]
    differences = [each["max_probability_difference"] for each in run if each["precision"] == EXACT]
    return {
        "reference_top1": report["reference"]["top1"],
        **({"worst_drop": max(each["drop"] for each in run)} if run else {}),
        **({"worst_float_probability_difference": max(differences)} if differences else {}),
    }


def _told(entries: list[dict[str, Any]], status: Status) -> str:
    """The files of a status, with their reasons, in one line; empty if there are none."""
    found = [entry for entry in entries if entry["verdict"]["status"] == status]
    return "; ".join(f"{entry['file']}: {', '.join(entry['verdict']['reasons'])}" for entry in found)
