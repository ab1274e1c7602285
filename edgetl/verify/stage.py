"""The proof: every artifact, run as on a device, against the trained model, on the whole test split."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgetl.data.index import read_index
from edgetl.environment import machine
from edgetl.errors import ProofFailed, RunnerFailed
from edgetl.runner.apart import predict_apart
from edgetl.runner.contract import Contract
from edgetl.runner.errors import RunnerError
from edgetl.stage import StageContext, StageResult
from edgetl.verify.comparison import Limits, compare, top1_of

if TYPE_CHECKING:
    import torch

__all__ = ["PREDICTIONS_FILE", "VERIFY_SCHEMA", "run"]

VERIFY_SCHEMA = 1
PREDICTIONS_FILE = "predictions.npz"
_BATCH_IMAGES = 64


def run(context: StageContext) -> StageResult:
    """Run every artifact over the raw files of the test split, compare with PyTorch, and write `verify.json`.

    The probabilities themselves go to `predictions.npz`: `float32 (N, K)` by artifact, and `reference`.

    Raises:
        RunFolderError: Nothing was exported yet.
        RunnerFailed: A runtime is missing, or died.
    """
    artifacts = context.folder.artifacts()
    index = read_index(context.folder)
    samples = index.split("test")
    files = [index.file(sample) for sample in samples]
    labels_N = np.array([sample.label for sample in samples], dtype=np.int64)
    with context.reporter.track("Verify", len(artifacts) + 1) as advance:
        reference_NK, runtime = _reference(context, files)
        advance(1, runtime)
        entries, predictions = [], {"reference": reference_NK}
        for artifact in artifacts:
            outputs_NK, facts = _predict(context, artifact["file"], files)
            predictions[artifact["file"]] = outputs_NK
            entries.append(_check(context, artifact, outputs_NK, facts, labels_N, reference_NK))
            advance(1, artifact["file"])
    np.savez_compressed(context.out / PREDICTIONS_FILE, allow_pickle=False, **predictions)
    report = {
        "schema_version": VERIFY_SCHEMA,
        "test_images": len(files),
        "reference": {"runtime": runtime, "top1": top1_of(reference_NK, labels_N)},
        "artifacts": entries,
        "passed": all(entry["passed"] for entry in entries),
    }
    (context.out / "verify.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return StageResult(metrics=_metrics(report), failure=_failure(entries))


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


def _check(
    context: StageContext,
    artifact: dict[str, str],
    outputs_NK: NDArray[np.float32],
    facts: dict[str, Any],
    labels_N: NDArray[np.int64],
    reference_NK: NDArray[np.float32],
) -> dict[str, Any]:
    if outputs_NK.shape != reference_NK.shape:
        gave, trained = outputs_NK.shape[1], reference_NK.shape[1]
        raise ProofFailed(f"{artifact['file']}: gives {gave} classes, the trained model {trained}. Export it again")
    limits = Limits(
        max_probability_difference=context.recipe.verify.max_probability_error,
        tie_gap=context.recipe.verify.tie_gap,
        max_drop=context.recipe.quantize.max_drop,
    )
    is_float = artifact["precision"] == "fp32"
    comparison = compare(reference_NK, outputs_NK, labels_N, is_float=is_float, limits=limits)
    failures = [*_contract_failures(facts["contract"], context.contract), *comparison.failures]
    runtime = facts["runtime"]
    return {
        **{key: artifact[key] for key in ("file", "format", "precision")},
        "runtime": {key: runtime[key] for key in ("name", "version", "provider")},
        "threads": runtime["threads"],
        **asdict(comparison),
        "passed": not failures,
        "failures": failures,
    }


def _predict(context: StageContext, name: str, files: list[Path]) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Run an artifact from the raw files in a process of its own, reading them as its own contract says."""
    threads = min(context.target.threads, machine()["cores"])
    try:
        with context.reporter.library("verification inference"):
            return predict_apart(context.folder.file(name), files, threads=threads)
    except RunnerError as cause:
        raise RunnerFailed(f"{name}: {cause}") from cause


def _contract_failures(embedded: str, contract: Contract) -> list[str]:
    carried, expected = Contract.from_json(embedded).to_dict(), contract.to_dict()
    differing = sorted(key for key in expected if carried[key] != expected[key])
    return [f"carries another contract than the run: {', '.join(differing)} differ"] if differing else []


def _metrics(report: dict[str, Any]) -> dict[str, float]:
    artifacts = report["artifacts"]
    differences = [each["max_probability_difference"] for each in artifacts if each["precision"] == "fp32"]
    return {
        "reference_top1": report["reference"]["top1"],
        "worst_drop": max(each["drop"] for each in artifacts),
        **({"worst_float_probability_difference": max(differences)} if differences else {}),
    }


def _failure(entries: list[dict[str, Any]]) -> str:
    return "; ".join(f"{entry['file']}: {', '.join(entry['failures'])}" for entry in entries if not entry["passed"])
