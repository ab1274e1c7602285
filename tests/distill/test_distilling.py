"""Distillation as a user gets it: what the student learns, from whom, and what is said about it."""

import json
import shutil
from dataclasses import replace

import pytest
import small_run

from edgetl.data.index import read_index
from edgetl.distill.visits import view_count
from edgetl.errors import ConfigError, EnvironmentFault, RunFolderError
from edgetl.runs.files import sha256_of
from edgetl.runs.folder import RunFolder
from edgetl.runs.reporter import Reporter

STILL = {"learning_rate": 1e-12}


def test_a_student_learns_from_the_teacher_alone(teacher, tmp_path):
    """Without any weight on the labels, what the student knows comes from the answers."""
    settings = small_run.recipe(distill={"loss": {"kd": 1.0}, "teacher_views": 1}, student={"epochs": 2})
    student = small_run.made(
        settings, tmp_path / "run", "student", ("data", "distill"), Reporter(), teachers=(teacher,)
    )
    assert student.manifest["metrics"]["distill"]["test_top1"] > 0.8, "chance is 0.1"
    (lineage,) = student.manifest["lineage"]["teachers"]
    assert lineage["weights_sha256"] == teacher.manifest["files"]["model.safetensors"]["sha256"]
    assert lineage["test_top1"] == teacher.manifest["metrics"]["finetune"]["test_top1"]
    assert lineage["run"] == str(teacher.path)
    assert student.manifest["stages"]["distill"]["learned"]["kept_epoch"] == 2
    assert not student.checkpoint_dir("distill").exists(), "the pixels are not kept"
    assert list(teacher.path.glob(".answers/*/logits.bin")), "the answers are, for the next student"


def test_student_and_teacher_see_the_same_pixels(distill, painter):
    """A student that is the teacher agrees with every answer, in every epoch, if each is to the pixels that it sees."""
    still = STILL | {"weights": str(painter.file("model.safetensors")), "epochs": 3}
    alone = {"loss": {"kd": 1.0}, "temperature": 1.0, "mixup": 0.5, "teacher_precision": "fp32"}
    alone |= {"teacher_views": 2, "vary_repeats": False}
    wild = {"crop_area": 0.2, "colour": 0.9, "rotate_degrees": 90.0}
    _, losses, _ = distill("run", student=still, distill=alone, augment=wild)
    assert len(losses) == 3
    assert max(losses) < 1e-5
    _, stored, _ = distill("stored", student=still, distill=alone | {"keep_pixels": "always"}, augment=wild)
    assert stored == losses


def test_the_epochs_cycle_through_the_views(distill):
    """A student that stands still has the same loss whenever the same view comes again, and another on another one."""
    one_batch = STILL | {"epochs": 4, "batch_size": 64}
    _, losses, heard = distill("still", student=one_batch, distill={"teacher_views": 2, "vary_repeats": False})
    assert losses[2:] == pytest.approx(losses[:2], rel=1e-5)
    assert losses[0] != pytest.approx(losses[1], rel=1e-5)
    assert "Views: 2 of each of 32 images; epoch e shows view e modulo 2." in heard.lines


def test_a_students_batch_can_be_taught_in_parts(distill):
    """Each part is compared with the answers to its own images."""
    sgd = {"optimizer": "sgd", "learning_rate": 0.05, "epochs": 2}
    _, parts, _ = distill("parts", student=sgd | {"accumulate": 2}, distill={"teacher_views": 2})
    _, whole, _ = distill("whole", student=sgd | {"batch_size": 16}, distill={"teacher_views": 2})
    assert parts == pytest.approx(whole, rel=1e-4)


@pytest.mark.parametrize("name", ["dkd", "dist", "crd", "feature"])
def test_every_loss_teaches(name, distill):
    _, losses, _ = distill("run", student={"epochs": 6}, distill={"loss": {name: 1.0}})
    assert losses[-1] < losses[0]


def test_several_teachers_answer_with_the_mean_of_their_logits(distill, painter):
    """Two copies of a teacher are that teacher; each has its own cache."""
    copy = type(painter)(shutil.copytree(painter.path, painter.path.parent / "painter-copy"), painter.manifest)
    single = distill("single", student={"epochs": 2})
    double, losses, _ = distill("double", student={"epochs": 2}, teachers=(painter, copy))
    assert losses == pytest.approx(single[1], rel=1e-6)
    lineage = double.manifest["lineage"]
    assert [teacher["test_top1"] for teacher in lineage["teachers"]] == [lineage["ensemble_test_top1"]] * 2


def test_losses_of_features_want_one_teacher(distill, painter):
    with pytest.raises(ConfigError, match=r"distill\.loss: crd compares features, and 2 teachers have none in common"):
        distill("run", teachers=(painter, painter), distill={"loss": {"crd": 1.0, "kd": 1.0}})


def test_a_teacher_tested_on_other_images_is_tested_on_the_students(painter, distill, tmp_path):
    own = read_index(painter)
    others = replace(own, samples=tuple(s for s in own.samples if s.split != "test" or s.label == 0))
    moved = tmp_path / "teacher"
    shutil.copytree(painter.path, moved)
    index = moved / "data.json"
    index.write_text(json.dumps(others.to_dict(moved)))
    manifest = json.loads((moved / "manifest.json").read_text())
    manifest["files"]["data.json"] |= {"sha256": sha256_of(index), "bytes": index.stat().st_size}
    manifest["metrics"]["finetune"]["test_top1"] = 0.123
    (moved / "manifest.json").write_text(json.dumps(manifest))
    student, _, _ = distill("run", student={"epochs": 1}, teachers=[RunFolder.open(moved)])
    (lineage,) = student.manifest["lineage"]["teachers"]
    assert lineage["test_top1"] == pytest.approx(painter.manifest["metrics"]["finetune"]["test_top1"])


@pytest.mark.parametrize(
    ("asked", "epochs", "images", "count"),
    [
        ("auto", 30, 300, 30),  # few images: a new view in each epoch
        ("auto", 30, 3_000, 8),
        ("auto", 30, 1_000_000, 4),  # many: no view more than eight times
        ("auto", 300, 1_000_000, 38),
        ("auto", 5, 1_000_000, 1),
        (7, 30, 300, 7),
        (7, 5, 300, 5),
    ],
)
def test_the_teacher_answers_more_views_of_few_images(asked, epochs, images, count):
    recipe = small_run.recipe(student={"epochs": epochs}, distill={"teacher_views": asked})
    assert view_count(recipe, images) == count


def test_views_that_come_again_are_varied_unless_the_recipe_says_no(distill):
    losses = {
        vary: distill(f"vary-{vary}", student={"epochs": 3}, distill={"teacher_views": 2, "vary_repeats": vary})[1]
        for vary in (True, False)
    }
    assert losses[True][:2] == losses[False][:2]
    assert losses[True][2] != losses[False][2]


@pytest.mark.usefixtures("taught")
def test_a_second_student_asks_nothing(distill, monkeypatch):
    monkeypatch.setattr("edgetl.distill.estimate._teacher_seconds", lambda *_: pytest.fail("timed a teacher in vain"))
    _, _, heard = distill("second", student={"model": "test_efficientnet"})
    assert any(line.startswith("Teacher's answers (logits): ") and "there already" in line for line in heard.lines)


def test_sizes_are_said_before_anything_is_written(distill):
    _, _, heard = distill("run", distill={"keep_pixels": "always", "teacher_views": 3, "mixup": 0.11})
    sizes = [line.split(" in ")[0] for line in heard.lines if line.startswith(("Teacher's answers", "Stored views"))]
    # 3 views of 32 images: two half-precision numbers each, and 16 x 16 pixels.
    assert sizes == ["Teacher's answers (logits): 384 B", "Stored views (pixels): 73.7 kB"]
    assert any(line.startswith("Expected time: ") for line in heard.lines)


def test_answers_that_do_not_fit_on_the_disk_are_refused_before_they_are_built(distill, monkeypatch):
    monkeypatch.setattr("edgetl.distill.space.free_bytes", lambda _folder: 1000)
    with pytest.raises(EnvironmentFault) as caught:
        distill("run", distill={"mixup": 0.12, "teacher_views": 4})
    problem = (
        "teacher's answers need 512 B, and 1.0 kB are free. Free some space, lower distill.teacher_views (4), or set"
    )
    assert problem in str(caught.value)
    assert "distill.cache to a folder on another disk" in str(caught.value)


def test_a_student_larger_than_its_teacher_is_warned_of(distill):
    _, _, heard = distill("run", student={"model": "test_resnet", "epochs": 1})
    (warning,) = [line for line in heard.lines if line.startswith("Warning")]
    assert "the student is larger than its teacher (0.37 against 0.30 million parameters)" in warning


def test_where_answers_are_kept_does_not_matter_to_the_student(distill, tmp_path):
    distill("run")
    _, _, heard = distill("run", distill={"cache": str(tmp_path / "elsewhere"), "keep_pixels": "always"})
    assert "distill: nothing has changed" in heard.lines


def test_a_distillation_without_a_teacher_says_what_is_missing(teacher, tmp_path):
    from edgetl.distill.stage import run

    with pytest.raises(RunFolderError, match=r"distillation needs a teacher's run folder \(--teacher\)"):
        run(small_run.context(teacher, tmp_path))
