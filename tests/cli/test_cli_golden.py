"""Whole outputs that people and programs read, kept as files: help, JSON answers, the manifest, the log of a run."""

import json
import re
from typing import Any

import pytest
from shell import quick

VERBS = (
    "", "run", "distill", "finetune", "predict", "export", "quantize", "verify", "bench", "explain", "report", "runs",
    "targets", "doctor", "init",
)  # fmt: skip
UNEQUAL = ("machine", "versions", "library_seconds", "fastest")
"""What another machine answers in other words: the fastest file, too, is a measurement."""
NUMBER = re.compile(r"\d+(\.\d+)?(e-?\d+)?")


@pytest.mark.parametrize("verb", VERBS)
def test_a_help_page(verb, edgetl, golden):
    golden(f"help-{verb or 'edgetl'}.txt", edgetl(*([verb] if verb else []), "--help").stdout)


def test_the_manifest_of_a_finished_run(finished_run, golden):
    manifest = json.loads((finished_run / "manifest.json").read_text())
    golden("manifest.json", json.dumps(shape(manifest), indent=1) + "\n")


@pytest.mark.parametrize("name", ["verify", "bench", "quantize"])
def test_a_report_of_a_finished_run(name, finished_run, golden):
    report = json.loads((finished_run / f"{name}.json").read_text())
    golden(f"{name}.json", json.dumps(shape(report), indent=1) + "\n")


def test_an_answer_for_programs(edgetl, finished_run, golden):
    answer = json.loads(edgetl("report", finished_run, "--json").stdout)
    golden("json-report.json", json.dumps(shape(answer), indent=1) + "\n")
    targets = json.loads(edgetl("targets", "--json").stdout)
    golden("json-targets.json", json.dumps(targets, indent=1) + "\n")


def test_the_log_of_a_run_that_is_current(edgetl, finished_run, stripes, golden):
    models = ("--teacher", "test_resnet", "--student", "test_efficientnet", "--target", "rpi4")
    for flag, name in (((), "log-current.txt"), (("--dry-run",), "log-dry-run.txt")):
        done = edgetl("run", "--data", stripes, *models, "--out", finished_run, *quick(), *flag)
        assert done.returncode == 0, done.stderr
        text = (done.stderr + done.stdout).replace(str(finished_run), "RUN")
        text = re.sub(r"Timed on: .*", "Timed on: MACHINE", text)
        golden(name, re.sub(r"[ \t]+", " ", NUMBER.sub("N", text)))


def shape(value: Any) -> Any:
    """Data without what differs from machine to machine: numbers, hashes, times, places, and versions of libraries."""
    if isinstance(value, dict):
        return {key: "..." if key in UNEQUAL else shape(v) for key, v in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value and isinstance(value[0], dict | float | int) else value
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return 0
    return "..." if re.fullmatch(r"[0-9a-f]{64}|[0-9T:+-]{19,}|[/\d].*|torch .*", value) else value
