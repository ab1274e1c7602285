"""Distilling at the command line: losses, recipes, several teachers, assistants, unlabelled images, control run."""

import json
import shutil

import pytest
import yaml
from shell import quick

TEACHER = "teacher"


@pytest.fixture
def asked(edgetl):
    """The recipe that would run, as plain data."""

    def show(*flags):
        done = edgetl("distill", *flags, "--print-config")
        assert done.returncode == 0, done.stderr
        return yaml.safe_load(done.stdout)

    return show


def test_losses_have_weights(asked):
    assert asked("--loss", "dist=2,hard")["distill"]["loss"] == {"dist": 2.0, "hard": 1.0}
    assert asked("--loss", "kd")["distill"]["loss"] == {"kd": 1.0}


def test_a_named_recipe_gives_way_to_settings(asked):
    patient = asked("--recipe", "patient")
    assert patient["distill"]["mixup"] == 0.5
    assert asked("--recipe", "fast")["student"]["epochs"] < patient["student"]["epochs"]
    assert asked("--recipe", "patient", "--set", "student.epochs=7")["student"]["epochs"] == 7


def test_the_control_run_has_three_seeds_unless_told(asked):
    assert asked()["control"]["seeds"] == 0
    assert asked("--control")["control"]["seeds"] == 3
    assert asked("--control", "--set", "control.seeds=5")["control"]["seeds"] == 5


def test_pruning_is_a_part_of_the_latency(asked):
    assert asked()["prune"]["latency"] == 1
    assert asked("--prune", "0.6")["prune"] == {"latency": 0.6, "multiple": 8, "at": 0.5}


def test_only_students_are_pruned(edgetl, tmp_path):
    done = edgetl("finetune", "--set", "prune.latency=0.6", "--out", tmp_path / "run")
    assert (done.returncode, done.stderr) == (
        2,
        "edgetl: prune.latency: only a student is pruned. Use 'edgetl distill'.\n",
    )


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--loss", "kdd"], "distill.loss: expected one of kd, dkd, dist, crd, feature, hard, each with a number"),
        (["--loss", "kd=0"], "each with a number between 0 and 1000 or 'auto', got 0.0"),
        (["--loss", "kd=much"], "--loss: expected a number behind kd=, got 'much'"),
        (["--loss", "kd,kd"], "--loss: kd comes twice"),
        (["--prune", "1.5"], "prune.latency: expected a number between 0 and 1, got 1.5"),
        (["--prune", "0.5", "--student", "test_vit"], "test_vit: cannot be pruned (it has LayerNorm"),
        (["--recipe", "turbo"], "--recipe: expected one of fast, balanced, patient, got 'turbo'"),
        (["--recipe", "mine.yaml"], "A recipe's file is given without the flag"),
        (["--unlabelled", "nowhere"], "nowhere: no such folder. Give a folder that has images"),
        (["--set", "distill.assistants=[resnet18,nonsense]"], "nonsense: no model has this name"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(flags, problem, edgetl, tmp_path):
    done = edgetl("distill", "--weights", "none", "--out", tmp_path / "run", *flags, cwd=tmp_path)
    assert done.returncode == 2
    assert problem in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.fixture
def distill(edgetl, finished_run, stripes, tmp_path):
    """Distill the finished run's teacher; `distill("out", ...)` gives the process and the manifest."""

    def run(name, *flags, teacher=finished_run / TEACHER, **settings):
        out = tmp_path / name
        common = ("--data", stripes, "--teacher", teacher, "--student", "test_efficientnet", "--out", out)
        done = edgetl("distill", *common, *flags, *quick(**settings))
        file = out / "manifest.json"
        return done, json.loads(file.read_text()) if file.is_file() else None

    return run


def test_unlabelled_images_of_the_test_split_are_refused(distill, finished_run, stripes, tmp_path):
    index = json.loads((finished_run / "data.json").read_text())
    judged = next(sample["path"] for sample in index["samples"] if sample["split"] == "test")
    (tmp_path / "more").mkdir()
    shutil.copy(stripes / judged, tmp_path / "more" / "one.png")
    done, manifest = distill("run", "--unlabelled", tmp_path / "more")
    assert (done.returncode, manifest) == (2, None)
    assert "more: 1 of its images are in the test split (one.png). Remove them" in done.stderr


def test_a_cache_of_another_teacher_is_refused_by_name(distill, finished_run, tmp_path):
    settings = {"distill__cache": tmp_path / "cache"}
    assert distill("first", **settings)[0].returncode == 0
    done, _ = distill("second", **settings, teacher=finished_run)
    assert done.returncode == 2
    assert "cache: holds answers of another teacher (teacher " in done.stderr


def test_a_teacher_that_was_not_trained_is_refused(distill, edgetl, stripes, tmp_path):
    done = edgetl("run", "--data", stripes, "--to", "data", "--out", tmp_path / "untrained", *quick())
    assert done.returncode == 0, done.stderr
    done, manifest = distill("run", teacher=tmp_path / "untrained" / "teacher")
    assert (done.returncode, manifest) == (2, None)
    assert "has no trained network to learn from. 'edgetl finetune' makes one" in done.stderr


def test_two_teachers_and_an_assistant_and_a_control_run(distill, finished_run, tmp_path):
    both = f"{finished_run / TEACHER},{finished_run}"
    assistants = "--set=distill.assistants=[test_resnet]"
    done, manifest = distill("run", assistants, "--control", teacher=both, control__seeds=1)
    assert done.returncode == 0, done.stderr
    assistant = json.loads((tmp_path / "run" / "assistant-1" / "manifest.json").read_text())
    assert [t["model"] for t in assistant["lineage"]["teachers"]] == ["test_resnet", "test_efficientnet"]
    assert "ensemble_test_top1" in assistant["lineage"]
    assert [t["run"] for t in manifest["lineage"]["teachers"]] == ["assistant-1"]
    assert "assistant-1's distill: done in" in done.stderr
    assert "The teacher " in done.stderr
    assert set(manifest["metrics"]["control"]) == {"gain_points", "gain_low", "gain_high"}
    again, _ = distill("run", assistants, "--control", teacher=both, control__seeds=1)
    assert again.stderr.count("nothing has changed") == 5


def test_the_report_says_whether_the_teacher_helped(distill, edgetl, tmp_path):
    distill("run", "--control", control__seeds=1)
    done = edgetl("report", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "run" / "report.html").read_text()
    found = json.loads((tmp_path / "run" / "control.json").read_text())
    assert f"{found['gain']['points']:+.1f}" in page
    assert "whose luck is not in the interval" in page
