"""A run folder as the stages before the report leave it: ten test images, two formats, both precisions."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import small_run
from PIL import Image

from edgetl.data.index import ImageIndex, Sample
from edgetl.devices.profiles import find_target
from edgetl.quantize.schema import RECEIPT_SCHEMA
from edgetl.recipe.fields import Recipe
from edgetl.runner.contract import Contract
from edgetl.runs.artifact import Artifact
from edgetl.runs.files import sha256_of
from edgetl.runs.folder import RunFolder
from edgetl.runs.reporter import Reporter
from edgetl.runs.stage import StageContext
from edgetl.verify.schema import VERIFY_SCHEMA
from edgetl.verify.worth import Judged, worth_of

IMAGES = 10
FILES = {
    "model.fp32.onnx": ("onnx", "fp32", 0.9, 1.51),
    "model.w8a8.onnx": ("onnx", "w8a8", 0.8, 1.23),
    "model.fp32.tflite": ("tflite", "fp32", 0.9, 2.34),
    "model.w8a8.tflite": ("tflite", "w8a8", 0.8, 3.45),
}
"""Format, precision, top-1 and median latency in ms."""


def made(place: Path, labels: tuple[str, ...], without: tuple[str, ...]) -> StageContext:
    """Write a run folder, less some files, and a teacher's beside it."""
    path = place / "run"
    path.mkdir()
    _write_images(path, labels)
    (path / "verify.json").write_text(json.dumps(verify_json()), encoding="utf-8")
    (path / "bench.json").write_text(json.dumps(bench_json()), encoding="utf-8")
    (path / "quantize.json").write_text(json.dumps(quantize_json()), encoding="utf-8")
    (path / "explain.json").write_text(json.dumps(explain_json()), encoding="utf-8")
    _write_curve(path, 0.91)
    for file in FILES:
        (path / file).write_bytes(file.encode())
    for name in without:
        (path / name).unlink()
    (path / ".partial-report").mkdir()
    return context_of(path, labels, teachers=(_teacher(place / "elsewhere"),))


def _artifact(file: str, format_name: str, precision: str) -> dict[str, Any]:
    """What the proof and the benchmark both say of an artifact."""
    return {
        "file": file,
        "format": format_name,
        "precision": precision,
        "runtime": {"name": "onnxruntime", "version": "1.31.1", "provider": "CPUExecutionProvider"},
        "threads": 4,
    }


def verify_json() -> dict[str, Any]:
    """A proof that passed."""
    entries = [
        {
            **_artifact(file, format_name, precision),
            "top1": top1,
            "agreement": 0.9,
            "ties_left_out": 0,
            "max_probability_difference": 0.25 if precision == "w8a8" else 1.23e-6,
            "mean_probability_difference": 0.01,
            "drop": 0.9 - top1,
            "verdict": {"status": "PASS", "reasons": []},
        }
        for file, (format_name, precision, top1, _) in FILES.items()
    ]
    reference = {"runtime": "torch 2.13.0", "top1": 0.9}
    return {
        "schema_version": VERIFY_SCHEMA,
        "test_images": IMAGES,
        "worth": worth_json(),
        "reference": reference,
        "artifacts": entries,
        "passed": True,
    }


def worth_json(right: int = 9) -> dict[str, Any]:
    """What ten test images say of the network, half of each class, of which so many are right."""
    labels_N = np.arange(IMAGES) % 2
    answers_N = np.where(np.arange(IMAGES) < right, labels_N, 1 - labels_N)
    return worth_of(Judged(labels_N, ("cat", "dog"), answers_N, None, (50, 50), (5, 5))).to_dict()


def bench_json() -> dict[str, Any]:
    """Latencies of another machine than the target."""
    entries = [
        {
            **_artifact(file, format_name, precision),
            "batch": 1,
            "size_bytes": 9_057_008 if precision == "fp32" else 2_510_662,
            "peak_rss_bytes": 81_000_000,
            "load_ms": 20.0,
            "inference": _latency(p50_ms),
            "with_preprocessing": _latency(p50_ms + 0.5),
        }
        for file, (format_name, precision, _, p50_ms) in FILES.items()
    ]
    machine = {"cpu": "Some CPU", "architecture": "x86_64", "cores": 4, "instruction_sets": ["avx2"]}
    return {
        "schema_version": 1,
        "machine": machine,
        "target": "rpi4",
        "target_profile": {"architecture": "aarch64"},
        "measured_on": "this machine",
        "artifacts": entries,
    }


def quantize_json() -> dict[str, Any]:
    """Two rungs of ONNX, of which the second is inside; TFLite did not run at all."""
    found = {
        "top1": 0.88, "drop": 0.0213, "drop_error": 0.0037, "flips": 0.034, "flips_low": 0.021, "flips_high": 0.054,
        "p50_ms": 1.26, "size_bytes": 2_610_000,
    }  # fmt: skip
    first = {
        "precision": "w8a8",
        "rung": "rounding",
        "note": "mse ranges",
        "passed": False,
        "problem": "",
        "seconds": 3.7,
        "in_float": [],
    }
    second = {"rung": "mixed", "note": "1 part in float", "passed": True, "in_float": ["blocks.0", "blocks.1"]}
    onnx, tflite = ({"format": name, "file": f"model.w8a8.{name}"} for name in ("onnx", "tflite"))
    attempts = [
        {**first, **onnx, "measured": found},
        {**first, **second, **onnx, "measured": {**found, "drop": 0.0047}},
        {**first, **tflite, "measured": None, "problem": "no such kernel"},
        {**first, **tflite, "measured": None, "rung": "ranges", "note": "nothing better"},
    ]
    cost = {"sqnr_db": 31.4, "flips": 0.0156, "divergence": 0.002}
    return {
        "schema_version": RECEIPT_SCHEMA,
        "validation_images": 1234,
        "reference_top1": 0.9013,
        "limits": {"max_drop": 0.01, "max_flips": 0.05},
        "attempts": attempts,
        "refused": [{"format": "onnx", "precision": "w8", "reason": "it would be slower"}],
        "kept": {
            "model.w8a8.onnx": {
                "rung": "mixed",
                "note": "1 part in float",
                "passed": True,
                "drop": 0.0047,
                "flips": 0.034,
            },
            "model.w8a8.tflite": None,
        },
        "calibration_spread": {"images": 85, "top1_spread": 0.0067, "scores": []},
        "dead_layers": [],
        "sensitivity": [{"name": f"blocks.{n}", "alone": cost, "without": cost} for n in range(24)],
        "warnings": ["Something to know."],
    }


def explain_json() -> dict[str, Any]:
    """Reasons for one format, on a machine that is not the target."""
    about = {"kind": "target", "what": "Not the target.", "share": None, "milliseconds": None, "advice": "Go there."}
    findings = [
        {
            "kind": "speed",
            "what": "w8a8 is 1.23 times as fast.",
            "share": None,
            "milliseconds": 1.23,
            "advice": "Ship it.",
        },
        {"kind": "layers", "what": "53 layers.", "share": 0.75, "milliseconds": 0.876, "advice": "Here they win."},
        {"kind": "threads", "what": "One thread was used.", "share": None, "milliseconds": None, "advice": "More."},
    ]
    entry = {
        "format": "onnx",
        "runtime": {"name": "onnxruntime", "version": "1.31.1", "provider": "CPUExecutionProvider"},
        "threads": 1,
        "speedup": 1.23,
        "origin": "Shares of 1.17 ms.",
        "findings": findings,
    }
    return {
        "schema_version": 1,
        "measured_on": "this machine",
        "machine": bench_json()["machine"],
        "target": "rpi4",
        "about_machine": [about],
        "fastest": {"file": "model.w8a8.onnx", "p50_ms": 1.23},
        "formats": [entry],
    }


def _latency(p50_ms: float) -> dict[str, float]:
    tail = {"p90_ms": p50_ms * 1.1, "p99_ms": p50_ms * 1.3}
    return {"p50_ms": p50_ms, **tail, "p50_low_ms": p50_ms * 0.98, "p50_high_ms": p50_ms * 1.02, "runs": 64}


def _write_images(path: Path, labels: tuple[str, ...]) -> None:
    """Image 3 is a mistake of the student; the w8a8 artifacts also get image 5 wrong."""
    (path / "images").mkdir()
    samples = []
    for number in range(IMAGES):
        file = path / "images" / f"{number}.png"
        Image.fromarray(np.full((8, 8, 3), 20 * number, np.uint8)).save(file)
        samples.append(Sample(file.name, number % 2, "test", sha256_of(file)))
    index = ImageIndex(path / "images", labels, tuple(samples), unreadable={}, median_side=8)
    (path / "data.json").write_text(json.dumps(index.to_dict(path)), encoding="utf-8")
    reference_NK = np.full((IMAGES, len(labels)), 0.125 / (len(labels) - 1), np.float32)
    reference_NK[range(IMAGES), [n % 2 for n in range(IMAGES)]] = 0.875
    reference_NK[3] = reference_NK[2]
    quantized_NK = reference_NK.copy()
    quantized_NK[5] = reference_NK[2]
    answers = {file: reference_NK if fp == "fp32" else quantized_NK for file, (_, fp, _, _) in FILES.items()}
    np.savez(path / "predictions.npz", reference=reference_NK, **answers)


def _write_curve(path: Path, top1: float) -> None:
    epochs = [{"epoch": n, "loss": 1 / n, "val_top1": top1 * n / 3, "seconds": 1.0} for n in (1, 2, 3)]
    (path / "metrics.jsonl").write_text("".join(json.dumps(epoch) + "\n" for epoch in epochs), encoding="utf-8")


def _teacher(path: Path) -> RunFolder:
    path.mkdir()
    _write_curve(path, 0.96)
    return small_run.run_of(path, {"finetune": {"seconds": 45.0, "files": ["metrics.jsonl"]}}, role="teacher")


def context_of(path: Path, labels: tuple[str, ...] = ("cat", "dog"), **parents: Any) -> StageContext:
    """The context of the report of what lies in a folder, as it is now."""
    artifacts = [
        Artifact.made(path / file, format_name, precision).to_dict()
        for file, (format_name, precision, _, _) in FILES.items()
        if (path / file).is_file()
    ]
    records = {
        "data": {"files": ["data.json"], "seconds": 0.0, "finished": "2026-01-02T03:00:00+00:00"},
        "distill": {
            "files": ["metrics.jsonl"],
            "seconds": 75.0,
            "finished": "2026-01-02T03:04:05+00:00",
            "recipe": {"student": {"model": "mobilenetv2", "epochs": 3}},
            "versions": {"edgetl": "0.1.0", "numpy": "2.4.6"},
        },
        "export": {
            "files": [entry["file"] for entry in artifacts],
            "artifacts": artifacts,
            "seconds": 0.0,
            "finished": "2026-01-02T03:04:05+00:00",
        },
        "quantize": {
            "files": ["quantize.json"] if (path / "quantize.json").is_file() else [],
            "seconds": 0.0,
            "finished": "",
        },
        "report": {"files": [], "seconds": 9.0, "finished": "2026-01-02T05:06:07+00:00"},
    }
    model = {"library": "timm", "name": "mobilenetv2_100", "arguments": {}}
    taught = {
        "run": "/home/me/secret/teacher", "model": "resnet50", "weights_sha256": "ab" * 32, "test_top1": 0.95,
    }  # fmt: skip
    folder = small_run.run_of(
        path, records, contract=Contract(labels, 16, 16).to_dict(), model=model, lineage={"teachers": [taught]}
    )
    out = path / ".partial-report"
    return StageContext(Recipe(target="rpi4"), find_target("rpi4"), folder, out, Reporter(), "", **parents)
