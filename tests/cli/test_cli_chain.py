"""The chain as a user runs it: what comes out, what a second run does, and what a broken run says."""

import json
import platform
import shutil
import subprocess
from pathlib import Path

from shell import keep_one_format, quick

from edgetl.runs.files import sha256_of

ARTIFACTS = [f"model.{precision}.{suffix}" for precision in ("fp32", "w8a8") for suffix in ("onnx", "tflite", "xml")]


def manifest_of(run: Path) -> dict:
    return json.loads((run / "manifest.json").read_text())


def stages_done(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line.partition(":")[0] for line in done.stderr.splitlines() if ": done in" in line]


def test_a_run_leaves_everything_that_a_user_is_promised(finished_run):
    beside = ["manifest.json", "model.safetensors", "metrics.jsonl", "labels.txt", "model.fp32.bin", "model.w8a8.bin"]
    results = ["verify.json", "bench.json", "report.html", "pareto.png"]
    missing = [name for name in ARTIFACTS + beside + results if not (finished_run / name).is_file()]
    assert missing == []
    assert [path.name for path in finished_run.iterdir() if path.name.startswith(".")] == [".quantized"]


def test_the_manifest_has_the_hash_of_every_file_and_where_it_came_from(finished_run):
    manifest = manifest_of(finished_run)
    files = {p.name for p in finished_run.iterdir() if p.is_file() and p.name != "manifest.json"}
    assert files == set(manifest["files"])
    assert all(sha256_of(finished_run / name) == entry["sha256"] for name, entry in manifest["files"].items())
    assert manifest["schema_version"] == 2
    assert (manifest["role"], manifest["parents"]) == ("student", [{"role": "teacher", "run": "teacher"}])
    assert manifest["recipe"]["student"]["model"] == "test_efficientnet"
    assert manifest["contract"]["labels"] == ["across", "down", "fine", "steep"]
    assert manifest["lineage"]["teachers"][0]["weights_sha256"] == sha256_of(
        finished_run / "teacher" / "model.safetensors"
    )


def test_what_was_made_of_what_stands_in_the_record_of_each_stage(finished_run):
    stages = manifest_of(finished_run)["stages"]
    assert stages["distill"]["recipe"]["student"]["epochs"] == 3
    assert stages["distill"]["recipe"]["seed"] == 0
    assert set(stages["bench"]["recipe"]) == {"bench", "seed"}
    assert stages["distill"]["versions"]["torch"]
    assert "matplotlib" not in stages["quantize"]["versions"]
    assert "torch" not in stages["report"]["versions"]
    assert all(record["machine"]["architecture"] == platform.machine() for record in stages.values())


def test_the_student_learned_and_every_artifact_is_proven(finished_run):
    proof = json.loads((finished_run / "verify.json").read_text())
    assert proof["passed"]
    assert [a["file"] for a in proof["artifacts"]] == ARTIFACTS
    assert proof["reference"]["top1"] > 0.5
    floats = [a for a in proof["artifacts"] if a["precision"] == "fp32"]
    assert all(a["max_probability_difference"] < 1e-4 and a["agreement"] == 1 for a in floats)


def test_a_second_run_does_nothing(edgetl, finished_run, stripes):
    models = ("--teacher", "test_resnet", "--student", "test_efficientnet", "--target", "rpi4")
    done = edgetl("run", "--data", stripes, *models, "--out", finished_run, *quick())
    assert done.returncode == 0, done.stderr
    assert stages_done(done) == []
    assert "Report:" in done.stdout
    assert f"({platform.machine()})" in next(line for line in done.stdout.splitlines() if line.startswith("Timed on: "))


def test_a_changed_option_runs_only_the_stages_that_read_it(edgetl, run_copy):
    keep_one_format(run_copy)
    done = edgetl("bench", run_copy, "--set", "bench.warmup_runs=11")
    assert stages_done(done) == ["bench", "report"], "a page of other measurements would contradict them"
    assert stages_done(edgetl("bench", run_copy)) == ["bench", "report"], "a measurement is made when it is asked for"
    assert stages_done(edgetl("report", run_copy)) == []


def test_what_a_verb_does_not_read_cannot_be_set_for_it(edgetl, run_copy):
    before = (run_copy / "manifest.json").read_bytes()
    done = edgetl("bench", run_copy, "--set", "student.epochs=5")
    assert done.returncode == 2
    assert done.stderr == (
        "edgetl: student.epochs: 'edgetl bench' does not read it. It reads bench, seed."
        " To change the rest of the recipe, use 'edgetl run'.\n"
    )
    assert (run_copy / "manifest.json").read_bytes() == before


def test_a_file_that_was_tampered_with_is_made_again(edgetl, run_copy):
    labels = sha256_of(run_copy / "labels.txt")
    page = (run_copy / "report.html").read_bytes()
    (run_copy / "report.html").write_text("nothing")
    assert stages_done(edgetl("report", run_copy)) == ["report"]
    assert (run_copy / "report.html").read_bytes() == page
    assert sha256_of(run_copy / "labels.txt") == labels


def test_a_file_that_was_changed_fails_the_proof_and_loses_its_times(edgetl, run_copy):
    (run_copy / "model.w8a8.onnx").write_bytes((run_copy / "model.fp32.onnx").read_bytes())
    done = edgetl("verify", run_copy)
    assert done.returncode == 1
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.startswith("model.")}
    assert rows["model.w8a8.onnx"] == ["DIFFERS"], "neither its accuracy nor another file's time"
    assert rows["model.fp32.onnx"][-1] == "equal"
    assert done.stderr.splitlines()[-1] == (
        f"edgetl: {run_copy}: model.w8a8.onnx: model.w8a8.onnx is not what the quantize stage wrote"
    )
    assert json.loads((run_copy / "verify.json").read_text())["passed"] is False
    assert "Ship model.w8a8.onnx" not in (run_copy / "report.html").read_text()


def test_a_proof_that_was_forged_is_not_shown(edgetl, run_copy):
    keep_one_format(run_copy)
    proof = json.loads((run_copy / "verify.json").read_text())
    proof["artifacts"][0]["top1"] = 1.0
    (run_copy / "verify.json").write_text(json.dumps(proof))
    for verb in ("bench", "report"):
        done = edgetl(verb, run_copy)
        assert done.returncode == 2
        assert "verify.json: is not what the verify stage wrote" in done.stderr.splitlines()[-1]
    assert edgetl("verify", run_copy).returncode == 0, "proven again, it is"


def test_exporting_for_a_device_drops_other_formats_and_recommends_the_file_to_ship(edgetl, run_copy):
    done = edgetl("export", run_copy, "--target", "linux-x86", "--format", "onnx")
    assert done.returncode == 0, done.stderr
    assert stages_done(done) == ["export", "quantize", "verify", "bench", "report"]
    left = sorted(p.name for p in run_copy.iterdir() if p.name.startswith("model."))
    assert left == ["model.fp32.onnx", "model.safetensors", "model.w8a8.onnx"]
    timed = {each["file"]: each for each in json.loads((run_copy / "bench.json").read_text())["artifacts"]}
    (advice,) = (line for line in done.stdout.splitlines() if line.startswith("Ship "))
    file = advice.removeprefix("Ship ").partition(":")[0]
    assert timed[file]["inference"]["p50_low_ms"] <= min(each["inference"]["p50_high_ms"] for each in timed.values())
    assert "of 2 files that passed the proof" in advice


def test_nothing_is_recommended_for_a_device_of_another_kind(edgetl, run_copy):
    done = edgetl("report", run_copy)
    assert "No file is recommended for rpi4 (aarch64), since the times are from this machine (x86_64)." in done.stdout
    assert "No file is recommended for rpi4" in (run_copy / "report.html").read_text()


def test_a_run_folder_serves_as_teacher_without_training_it_again(edgetl, finished_run, stripes, tmp_path):
    teacher = finished_run / "teacher"
    before = sha256_of(teacher / "model.safetensors")
    flags = quick(student__epochs=1)
    out = tmp_path / "other"
    done = edgetl("distill", "--data", stripes, "--teacher", teacher, "--student", "test_vit", "--out", out, *flags)
    assert done.returncode == 0, done.stderr
    assert stages_done(done) == ["data", "distill"]
    assert sha256_of(teacher / "model.safetensors") == before
    assert manifest_of(out)["lineage"]["teachers"][0]["run"] == str(teacher)


def test_a_teacher_of_other_classes_is_refused(edgetl, finished_run, stripes, tmp_path):
    data = Path(shutil.copytree(stripes, tmp_path / "data"))
    (data / "steep").rename(data / "dots")
    out = tmp_path / "out"
    done = edgetl("distill", "--data", data, "--teacher", finished_run / "teacher", "--out", out, *quick())
    assert done.returncode == 2
    assert "the teacher does not know 1 of the data's classes [dots]; of its own [steep] are left" in done.stderr
    assert not out.exists()


def test_from_and_to_select_a_part(edgetl, run_copy, stripes):
    models = ("--teacher", "test_resnet", "--student", "test_efficientnet", "--target", "rpi4")
    common = ("--data", stripes, *models, "--out", run_copy, *quick(bench__warmup_runs=12))
    done = edgetl("run", *common, "--from", "bench", "--to", "bench")
    assert stages_done(done) == ["bench"]
    done = edgetl("run", *common, "--from", "report", "--to", "bench")
    assert done.returncode == 2
    assert done.stderr == "edgetl: --from: report comes after bench.\n"
    done = edgetl("run", *common, "--to", "expotr")
    assert "no stage named 'expotr'. Stages: data, finetune" in done.stderr


def test_json_goes_to_standard_output_alone(edgetl, run_copy):
    done = edgetl("verify", run_copy, "--json")
    answer = json.loads(done.stdout)
    assert answer["schema_version"] == 1
    assert answer["run"] == str(run_copy)
    assert answer["metrics"]["verify"]["worst_drop"] <= 0.5
