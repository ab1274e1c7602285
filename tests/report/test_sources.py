"""Files that whoever forged them also hashed: each is refused in a line that names it, before a page is drawn."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_run
from report_context import context_of, made

from edgetl.errors import DamagedFile
from edgetl.report.sources import read_sources


def forged(place: Path, name: str, content: bytes):
    context = made(place, ("cat", "dog"), ())
    (context.folder.path / name).write_bytes(content)
    return replace(context, folder=context_of(context.folder.path).folder)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("formats", 0, "findings", 0, "advice"), None),
        (("formats", 0, "findings"), []),
        (("formats", 0, "findings", 1, "share"), 75),
        (("formats", 0, "format"), "coreml"),
        (("fastest", "p50_ms"), "fast"),
        (("machine",), {}),
        (("schema_version",), 99),
    ],
)
def test_a_forged_explanation(where, value, tmp_path):
    told = json.loads((made(tmp_path, ("cat", "dog"), ()).folder.path / "explain.json").read_text())
    inner = told
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = value
    (tmp_path / "again").mkdir()
    with pytest.raises(DamagedFile, match=r"explain\.json: cannot be used"):
        read_sources(forged(tmp_path / "again", "explain.json", json.dumps(told).encode()))


@pytest.mark.parametrize(
    "content", [b"no JSON", b'{"epoch": 1, "loss": 0.5, "val_top1": 91}', b'{"epoch": "first"}', b"[]"]
)
def test_a_forged_curve(content, tmp_path):
    with pytest.raises(DamagedFile, match=r"metrics\.jsonl: cannot be used \(line 1"):
        read_sources(forged(tmp_path, "metrics.jsonl", content))


@pytest.mark.parametrize(
    "arrays",
    [
        {"reference": np.zeros((10, 3), np.float32)},
        {"reference": np.zeros((10, 2), np.float64)},
        {"reference": np.float32(1)},
        {"reference": np.full((10, 2), np.nan, np.float32)},
        {"model.w8a8.onnx": np.zeros((10, 2), np.float32)},
    ],
)
def test_forged_answers(arrays, tmp_path):
    np.savez(tmp_path / "forged.npz", **arrays)
    with pytest.raises(DamagedFile, match=r"predictions\.npz: cannot be used"):
        read_sources(forged(tmp_path, "predictions.npz", (tmp_path / "forged.npz").read_bytes()))


def test_answers_that_are_no_archive(tmp_path):
    with pytest.raises(DamagedFile, match=r"predictions\.npz: cannot be used"):
        read_sources(forged(tmp_path, "predictions.npz", b"PK\x03\x04 and no more"))


GAIN = {"points": 1.5, "low": 0.5, "high": 2.5, "seeds": 2, "images": 100}


@pytest.mark.parametrize("change", [{"points": None}, {"seeds": 0}, {"low": "less"}, {"images": 1.5}])
def test_a_forged_gain(change, tmp_path):
    found = {"schema_version": 1, "top1_with_teacher": [0.9], "top1_without_teacher": [0.8]}
    assert read_gain_of(tmp_path / "right", {**found, "gain": GAIN}).points == 1.5
    with pytest.raises(DamagedFile, match=r"control\.json: cannot be used \(gain\."):
        read_gain_of(tmp_path / "forged", {**found, "gain": GAIN | change})


def read_gain_of(path: Path, told):
    from edgetl.distill.schema import read_gain

    path.mkdir()
    (path / "control.json").write_text(json.dumps(told))
    return read_gain(small_run.run_of(path, {"control": {"files": ["control.json"]}}))


@pytest.mark.parametrize("change", [{"candidates": [{}]}, {"kept": "most"}, {"why": None}, {"baseline": 5}])
def test_forged_widths(change, tmp_path):
    from edgetl.prune.schema import read_widths

    told = {
        "schema_version": 1, "format": "onnx", "wish": 0.6, "multiple": 8, "baseline": {"parameters": 5},
        "candidates": [], "kept": None, "reached": False, "why": "none is faster",
    }  # fmt: skip
    (tmp_path / "prune.json").write_text(json.dumps(told | change))
    folder = small_run.run_of(tmp_path, {"prune": {"files": ["prune.json"]}}, role="unpruned")
    with pytest.raises(DamagedFile, match=r"prune\.json: cannot be used"):
        read_widths(folder)
