"""The explain stage on real artifacts, in real runtimes and processes."""

import json
import platform
import shutil
from dataclasses import replace

import pytest
import small_run
import tiny_run

from edgetl.chain.api import run_verb
from edgetl.errors import RunFolderError, RunnerFailed
from edgetl.explain import stage
from edgetl.runs.folder import RunFolder
from edgetl.runs.reporter import Reporter


def report_of(context):
    return json.loads((context.out / "explain.json").read_text(encoding="utf-8"))


def one_thread(context):
    bench = context.recipe.bench.model_copy(update={"threads": 1})
    return replace(context, recipe=context.recipe.model_copy(update={"bench": bench}))


def test_the_report_says_what_was_measured_where(tmp_path):
    made = [("onnx", "fp32", {}), ("tflite", "fp32", {}), ("tflite", "w8a8", {"int8_output": True})]
    context = tiny_run.context(tmp_path, made)
    result = stage.run(context)
    report = report_of(context)
    assert (report["schema_version"], report["measured_on"], report["target"]) == (1, "this machine", "linux-x86")
    assert report["machine"]["architecture"] == platform.machine()
    assert report["machine"]["cores"] >= 1
    (told,) = report["formats"]
    assert (told["format"], told["integer"]["file"], told["float"]["file"]) == (
        "tflite", "model.w8a8.tflite", "model.fp32.tflite",
    )  # fmt: skip
    assert told["speedup"] == told["float"]["best_ms"] / told["integer"]["best_ms"]
    assert result.metrics == {"tflite_w8a8_speedup": told["speedup"]}
    assert told["findings"][0]["kind"] == "speed"
    assert told["findings"][-1]["kind"] == "threads"
    assert report["fastest"]["p50_ms"] == min(told[side]["best_ms"] for side in ("float", "integer"))
    assert sum(each["milliseconds"] for each in told["integer"]["operators"]) == pytest.approx(
        told["integer"]["operators_ms"]
    )
    assert [path.name for path in context.out.iterdir()] == ["explain.json"]
    assert set(context.reporter.take_library_seconds()) == {"timed inference", "profiled inference"}


def test_with_one_thread_there_is_nothing_to_compare_it_with(tmp_path):
    context = one_thread(tiny_run.context(tmp_path, [("onnx", "fp32", {}), ("onnx", "w8a8", {})]))
    stage.run(context)
    (told,) = report_of(context)["formats"]
    assert told["findings"][-1]["what"] == "One thread was used."


def test_a_run_without_integers_says_what_to_do(tmp_path):
    with pytest.raises(RunFolderError, match=r"has no w8a8 artifact to explain\. 'edgetl quantize' makes one$"):
        stage.run(tiny_run.context(tmp_path, [("onnx", "fp32", {})]))


def test_a_run_without_floats_says_what_to_do(tmp_path):
    with pytest.raises(RunFolderError, match=r"has no float artifact to compare with\. 'edgetl export' makes one$"):
        stage.run(tiny_run.context(tmp_path, [("openvino", "fp32", {}), ("onnx", "w8a8", {})]))


def test_an_artifact_that_does_not_run_is_named(tmp_path):
    context = tiny_run.context(tmp_path, [("tflite", "fp32", {}), ("tflite", "w8a8", {"damaged": True})])
    with pytest.raises(RunnerFailed, match=r"^model\.w8a8\.tflite: .*not a complete TFLite model"):
        stage.run(context)


def test_a_quantized_network_computes_its_layers_in_integers(tmp_path, tmp_path_factory):
    base = tmp_path_factory.getbasetemp()
    run = shutil.copytree(small_run.quantized(base), tmp_path / "run")
    recipe = small_run.recipe(bench={"threads": 1})
    with small_run.user_cache(base):
        folder = run_verb("explain", recipe, RunFolder.open(run), Reporter())
    report = json.loads(folder.file("explain.json").read_text(encoding="utf-8"))
    assert [each["format"] for each in report["formats"]] == ["onnx", "tflite", "openvino"]
    for told in report["formats"]:
        kinds = {each["kind"]: each for each in told["findings"]}
        shares = [each["share"] for kind, each in kinds.items() if each["share"] and kind != "no gain"]
        assert "layers" in kinds, told["format"]
        assert 0.9 < sum(shares) <= 1.0001
        layers = [each for each in told["integer"]["operators"] if "onv" in each["type"] or "GEMM" in each["type"]]
        assert "integer" in {each["computes"] for each in layers}
