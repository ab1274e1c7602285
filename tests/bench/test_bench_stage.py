"""What the bench stage writes of real artifacts, timed in real processes."""

import json
import platform

import pytest
import tiny_run

from edgetl.bench import stage
from edgetl.errors import DamagedFile, RunFolderError, RunnerFailed
from edgetl.runs.files import shipped_bytes


def report_of(context):
    return json.loads((context.out / "bench.json").read_text(encoding="utf-8"))


def test_every_artifact_is_timed_and_described(tmp_path):
    made = [("onnx", "fp32", {}), ("openvino", "fp32", {}), ("tflite", "w8a8", {"int8_output": True})]
    context = tiny_run.context(tmp_path, made)
    result = stage.run(context)
    report = report_of(context)
    assert (report["measured_on"], report["target"], report["schema_version"]) == ("this machine", "linux-x86", 1)
    assert report["machine"]["architecture"] == platform.machine()
    assert report["machine"]["cores"] >= 1
    entries = report["artifacts"]
    assert [each["file"] for each in entries] == ["model.fp32.onnx", "model.fp32.xml", "model.w8a8.tflite"]
    for each in entries:
        assert set(each) == {
            "file", "format", "precision", "runtime", "threads", "batch", "size_bytes", "peak_rss_bytes", "load_ms",
            "warmup_runs", "inference", "with_preprocessing",
        }  # fmt: skip
        assert each["batch"] == 1
        assert each["warmup_runs"] == context.recipe.bench.warmup_runs
        assert each["inference"]["runs"] == each["with_preprocessing"]["runs"] == 64
        assert each["inference"]["p50_low_ms"] <= each["inference"]["p50_ms"] <= each["inference"]["p50_high_ms"]
        assert each["inference"]["p50_ms"] <= each["inference"]["p90_ms"] <= each["inference"]["p99_ms"]
    fastest = min(entries, key=lambda each: each["inference"]["p50_ms"])
    assert result.metrics["fastest_p50_ms"] == fastest["inference"]["p50_ms"]
    assert result.details == {"fastest": fastest["file"]}
    assert context.reporter.take_library_seconds()["timed inference"] > 0
    assert [path.name for path in context.out.iterdir()] == ["bench.json"]


def test_the_size_of_openvino_includes_its_weights(tmp_path):
    context = tiny_run.context(tmp_path, [("openvino", "fp32", {})])
    files = [context.folder.file(f"model.fp32{suffix}") for suffix in (".xml", ".bin")]
    assert shipped_bytes(files[0]) == sum(file.stat().st_size for file in files)


def test_a_file_that_was_changed_is_not_timed_and_the_others_are(tmp_path):
    context = tiny_run.context(tmp_path, [("onnx", "fp32", {}), ("tflite", "fp32", {})])
    (context.folder.path / "model.fp32.tflite").write_bytes(b"damaged")
    result = stage.run(context)
    assert [each["file"] for each in report_of(context)["artifacts"]] == ["model.fp32.onnx"]
    assert result.failure == ("model.fp32.tflite: not timed, model.fp32.tflite is not what the export stage wrote")


def test_where_every_file_was_changed_there_is_nothing_to_time(tmp_path):
    context = tiny_run.context(tmp_path, [("onnx", "fp32", {})])
    (context.folder.path / "model.fp32.onnx").write_bytes(b"damaged")
    with pytest.raises(DamagedFile, match=r"model\.fp32\.onnx is not what the export stage wrote\. Export again"):
        stage.run(context)


def test_a_file_that_was_a_damaged_one_from_the_start_is_named(tmp_path):
    context = tiny_run.context(tmp_path, [("tflite", "fp32", {"damaged": True})])
    with pytest.raises(RunnerFailed, match=r"^model\.fp32\.tflite: .*not a complete TFLite model"):
        stage.run(context)


def test_a_run_without_artifacts_says_what_to_do(tmp_path):
    with pytest.raises(RunFolderError, match="nothing has been exported here"):
        stage.run(tiny_run.context(tmp_path, []))
