"""'edgetl explain' as a user runs it on a finished run."""

import json

from shell import keep_one_format

from edgetl.chain.plan import plan, selection
from edgetl.recipe.fields import Recipe


def without_integers(run):
    file = run / "manifest.json"
    manifest = json.loads(file.read_text())
    gone = manifest["stages"].pop("quantize")
    manifest["files"] = {name: entry for name, entry in manifest["files"].items() if name not in gone["files"]}
    file.write_text(json.dumps(manifest))


def test_explain_says_why_and_report_shows_it(edgetl, run_copy):
    keep_one_format(run_copy)
    done = edgetl("explain", run_copy, "--set", "bench.threads=1")
    assert done.returncode == 0, done.stderr
    assert "explain: done in" in done.stderr
    text = " ".join(done.stdout.split())
    assert "model.w8a8.onnx: w8a8 " in text
    assert "by ONNX Runtime's profiler" in text
    assert "layers in integers" in text
    assert "not from the target, Raspberry Pi 4" in text
    assert "Fastest here: model." in text
    assert json.loads((run_copy / "explain.json").read_text())["schema_version"] == 1
    assert "Why int8 is faster here, or is not" in (run_copy / "report.html").read_text()


def test_explain_for_programs_prints_the_report(edgetl, run_copy):
    keep_one_format(run_copy)
    done = edgetl("explain", run_copy, "--set", "bench.threads=1", "--json")
    told = json.loads(done.stdout)
    assert told == {"run": str(run_copy), **json.loads((run_copy / "explain.json").read_text())}


def test_a_run_without_integers_is_one_line_and_two(edgetl, run_copy):
    without_integers(run_copy)
    done = edgetl("explain", run_copy)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        f"edgetl: {run_copy}: has no w8a8 artifact to explain. 'edgetl quantize' makes one"
    )


def test_run_leaves_it_out_unless_it_is_asked_for(finished_run):
    assert "explain" not in json.loads((finished_run / "manifest.json").read_text())["stages"]
    for first, last, is_in in ((None, None, False), ("bench", "report", False), ("explain", None, True)):
        assert ("explain" in plan(Recipe(), finished_run, selection(first, last))[-1].stages) == is_in
    assert "explain" in plan(Recipe(), finished_run, selection(None, "explain"))[-1].stages
