"""Bad input: one line, the right exit code, nothing left behind, no traceback."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from shell import Edgetl, environment_of, paint_folder, quick


@pytest.fixture
def refused(edgetl: Edgetl, tmp_path: Path):
    """Run a command that must be refused, and return its one line."""

    def check(*arguments: object, code: int = 2) -> str:
        before = sorted(tmp_path.rglob("*"))
        done = edgetl(*arguments, cwd=tmp_path)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        last = done.stderr.splitlines()[-1]
        assert last.startswith("edgetl: ")
        assert len([line for line in done.stderr.splitlines() if line.startswith("edgetl: ")]) == 1
        assert sorted(tmp_path.rglob("*")) == before, "something was left behind"
        return last

    return check


def test_no_such_folder(refused):
    assert "photos: no such folder" in refused("run", "--data", "photos", "--weights", "none")


def test_one_class_only(refused, tmp_path):
    paint_folder(tmp_path / "data", {"cat": 10})
    assert "only one class" in refused("run", "--data", "data", "--weights", "none")


def test_a_class_with_one_image(refused, tmp_path):
    paint_folder(tmp_path / "data", {"cat": 10, "dog": 1})
    message = refused("run", "--data", "data", "--weights", "none")
    assert "dog" in message
    assert "1" in message


def test_a_corrupt_jpeg_is_named_and_counted(refused, tmp_path):
    from PIL import Image

    data = paint_folder(tmp_path / "data", {"cat": 10, "dog": 10})
    Image.effect_noise((64, 64), 80).save(data / "dog" / "whole.jpg")
    whole = (data / "dog" / "whole.jpg").read_bytes()
    (data / "dog" / "broken.jpg").write_bytes(whole[: len(whole) // 2])
    message = refused("run", "--data", "data", "--weights", "none")
    assert "dog/broken.jpg" in message
    assert "1 " in message
    assert "data.max_unreadable" in message


def test_a_stated_number_of_unreadable_files_is_left_out_by_name(edgetl, tmp_path):
    data = paint_folder(tmp_path / "data", {"cat": 10, "dog": 10})
    (data / "dog" / "broken.jpg").write_bytes(b"no picture")
    flags = ("--weights", "none", "--set", "data.max_unreadable=1", "--to", "data", "--student", "test_resnet")
    done = edgetl("run", "--data", data, "--teacher", "test_resnet", *flags, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "dog/broken.jpg" in done.stderr


def test_a_name_that_is_no_model_gets_the_nearest_names(refused, stripes):
    message = refused("run", "--data", stripes, "--student", "mobilnetv2", "--weights", "none")
    assert "mobilnetv2: no model has this name" in message
    assert "mobilenetv2" in message.partition("Did you mean")[2]


def test_an_unknown_recipe_key_gets_the_nearest_key(refused, tmp_path):
    (tmp_path / "recipe.yaml").write_text("quantize:\n  calibration_imgs: 64\n")
    message = refused("run", "recipe.yaml")
    assert message == "edgetl: quantize.calibration_imgs: unknown key. Did you mean 'calibration_images'?"


def test_a_recipe_value_out_of_range_says_what_is_allowed(refused, tmp_path):
    (tmp_path / "recipe.yaml").write_text("quantize:\n  calibration_images: 8\n")
    message = refused("run", "recipe.yaml")
    assert "quantize.calibration_images: expected a whole number from 32 to 4096, got 8." in message


def test_a_missing_or_broken_recipe_file(refused, tmp_path):
    assert "nothing.yaml: no such recipe" in refused("run", "nothing.yaml")
    (tmp_path / "recipe.yaml").write_text("data: [unclosed\n")
    assert "recipe.yaml: is not valid YAML" in refused("run", "recipe.yaml")


def test_an_unknown_target_gets_the_nearest(refused):
    assert "no target named 'rpi44'. Did you mean 'rpi4'" in refused("run", "--target", "rpi44")


def test_weights_that_cannot_be_had_name_both_ways_out(edgetl_process, stripes, tmp_path):
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}  # which the library reads when it is imported
    done = edgetl_process("run", "--data", stripes, "--out", tmp_path / "out", **offline)
    assert done.returncode == 4
    assert "--weights none" in done.stderr
    assert "--weights FILE.safetensors" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_run_folder_that_is_not_there_is_not_looked_for_as_a_model(edgetl, stripes):
    done = edgetl("distill", "--data", stripes, "--teacher", "runs/nothing", "--student", "test_resnet")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "edgetl: runs/nothing: no run folder is there. 'edgetl finetune' makes one"


def test_a_typo_in_the_student_is_found_before_a_changed_teacher_is_trained(refused, run_copy, stripes):
    changed = ("--teacher", "test_vit", "--student", "test_efficientnett")
    message = refused("run", "--data", stripes, *changed, *quick(), "--out", run_copy, "--force")
    assert "test_efficientnett: no model has this name" in message


def test_a_weights_file_is_the_students_where_the_teacher_is_trained(edgetl, refused, finished_run, stripes, tmp_path):
    file = finished_run / "model.safetensors"
    models = ("--data", stripes, "--student", "test_efficientnet", "--set", "student.epochs=1")
    asked = edgetl("distill", *models, "--teacher", finished_run / "teacher", "--weights", file, "--print-config")
    assert f"weights: {file}" in asked.stdout
    assert asked.stdout.count("weights: default") == 1, "the teacher's is left alone"
    message = refused("distill", *models, "--teacher", "test_resnet", "--weights", file)
    assert "Say which with --set teacher.weights=FILE or --set student.weights=FILE" in message


def test_an_output_folder_that_holds_something_else(refused, stripes, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    message = refused("run", "--data", stripes, "--weights", "none", "--out", "out")
    assert "out: holds something else (thesis.tex). Choose an empty or new folder with --out" in message


def test_an_output_path_that_cannot_be_one(refused, stripes, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    flags = ("--model", "test_resnet", "--data", stripes, *quick())
    message = refused("finetune", *flags, "--out", "notes.txt/run", code=4)
    assert "a part of this path is a file, not a folder. Choose another place with --out" in message
    assert "notes.txt: is a file. Choose another place" in refused("finetune", *flags, "--out", "notes.txt")
    assert "the name is too long" in refused("finetune", *flags, "--out", "x" * 300, code=4)


def test_a_run_of_another_kind_is_not_overwritten(edgetl, finished_run, stripes):
    done = edgetl("finetune", "--model", "test_resnet", "--data", stripes, "--out", finished_run, *quick())
    assert done.returncode == 2
    assert "is the run of a student, not of a teacher. Choose another place with --out" in done.stderr


def test_a_run_folder_of_a_newer_schema(refused, finished_run, tmp_path):
    manifest = json.loads((finished_run / "manifest.json").read_text())
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "manifest.json").write_text(json.dumps({**manifest, "schema_version": 99}))
    message = refused("report", "run")
    assert "schema version 99 is newer than this edgetl reads (2). Upgrade edgetl" in message


def test_a_folder_that_is_no_run(refused, tmp_path):
    assert "gone: no such run folder" in refused("verify", "gone")
    (tmp_path / "photos").mkdir()
    assert "photos: no manifest.json here" in refused("verify", "photos")


def test_a_damaged_manifest(refused, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "manifest.json").write_text("{ cut off")
    assert "manifest.json: damaged" in refused("verify", "run")
    (tmp_path / "run" / "manifest.json").write_text('{"schema_version": 2}')
    assert "manifest.json: damaged (role: field required)" in refused("verify", "run")


def test_a_format_that_is_none(refused, finished_run):
    assert "export.formats: expected a list of onnx, tflite, openvino" in refused(
        "export", finished_run, "--format", "onx"
    )


def can_mount() -> bool:
    probe = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return (
        shutil.which("unshare") is not None and subprocess.run(probe, capture_output=True, check=False).returncode == 0
    )


needs_mount = pytest.mark.skipif(not can_mount(), reason="this machine lets nobody mount a tmpfs of their own")


def on_tmpfs(cache: Path, place: Path, options: str, *arguments: object, before: str = "true"):
    """Run edgetl while `place` is a small file system of its own; list what is left there afterwards."""
    script = (
        f'mount -t tmpfs -o "{options}" tmpfs "$0" && cd "$0" && {before} && '
        f'"$@"; code=$?; find "$0" -mindepth 1 > "$0.left"; exit $code'
    )
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, str(place)]
    command += [sys.executable, "-m", "edgetl", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment_of(cache))


@needs_mount
def test_a_full_disk_is_named_and_leaves_nothing_half_written(stripes, cache, tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    flags = ("--data", stripes, "--model", "resnet18", "--out", place / "run", *quick(teacher__epochs=1))
    done = on_tmpfs(cache, place, "size=3m", "finetune", *flags)
    assert done.returncode == 4, done.stderr
    assert re.search(r"no space left on the device \([\d,]+ bytes free\)\. Free some,", done.stderr)
    assert "Traceback" not in done.stderr
    left = {Path(line).name for line in Path(f"{place}.left").read_text().splitlines()}
    assert left == {"run", "manifest.json", "data.json", "labels.txt"}, "the finished data stage, and nothing else"


@needs_mount
def test_a_full_disk_during_export_is_named_although_the_converter_has_other_words(finished_run, cache, tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    kept = "manifest.json data.json labels.txt model.safetensors metrics.jsonl"
    fill = "dd if=/dev/zero of=filler bs=1k count=100000 2>/dev/null; truncate -s -300K filler"
    prepare = f"mkdir run && (cd {finished_run} && cp {kept} $OLDPWD/run) && ({fill})"
    flags = ("--format", "openvino", "--set", "target=rpi5")
    done = on_tmpfs(cache, place, "size=4m", "export", place / "run", *flags, before=prepare)
    assert done.returncode == 4, done.stderr
    assert "no space left on the device" in done.stderr
    left = {Path(line).name for line in Path(f"{place}.left").read_text().splitlines()}
    assert left == {"filler", "run", *kept.split()}


@needs_mount
def test_a_read_only_disk_is_named(stripes, cache, tmp_path):
    place = tmp_path / "fixed"
    place.mkdir()
    flags = ("--data", stripes, "--model", "test_resnet", "--out", place / "run", *quick())
    done = on_tmpfs(cache, place, "ro,size=1m", "finetune", *flags)
    assert done.returncode == 4, done.stderr
    assert "the file system is read-only. Choose another place with --out" in done.stderr
    assert "Traceback" not in done.stderr
