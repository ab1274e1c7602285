"""From a recipe to runs: roles, folders, parents and stages, before anything is made."""

from pathlib import Path

import pytest
import small_run

from edgetl.chain.plan import Parent, plan, plan_finetuning, plan_verb, selection
from edgetl.chain.stages import CHAIN
from edgetl.errors import ConfigError, RunFolderError

OUT = Path("runs/photos")
DISTILL = ("data", "finetune", "distill", "control")


def shape(runs):
    """Role, folder and stages of each run."""
    return [(run.role, str(run.folder), " ".join(run.stages)) for run in runs]


def test_a_chain_is_a_teacher_and_a_student():
    teacher, student = plan(small_run.recipe(), OUT)
    assert shape([teacher, student]) == [
        ("teacher", "runs/photos/teacher", "data finetune"),
        ("student", "runs/photos", "data distill export quantize verify bench report"),
    ]
    assert student.parents == (Parent("teacher", OUT / "teacher"),)
    assert (teacher.title, student.title) == ("teacher's ", "")
    assert student.network.model == "test_resnet"


def test_assistants_stand_between_and_each_learns_from_the_one_before():
    settings = small_run.recipe(distill={"assistants": ["resnet34", "resnet18"], "cache": "answers"})
    runs = plan(settings, OUT, DISTILL)
    assert shape(runs)[1:] == [
        ("assistant", "runs/photos/assistant-1", "data distill"),
        ("assistant", "runs/photos/assistant-2", "data distill"),
        ("student", "runs/photos", "data distill"),
    ]
    assert [[parent.folder.name for parent in run.parents] for run in runs] == [
        [], ["teacher"], ["assistant-1"], ["assistant-2"],
    ]  # fmt: skip
    assert [run.network.model for run in runs[1:3]] == ["resnet34", "resnet18"]
    assert runs[2].recipe.distill.cache == "answers/assistant-2"


def test_pruning_is_two_runs():
    settings = small_run.recipe(prune={"latency": 0.6}, student={"epochs": 7})
    _, early, student = plan(settings, OUT, DISTILL)
    assert shape([early, student]) == [
        ("unpruned", "runs/photos/unpruned", "data distill prune"),
        ("student", "runs/photos", "data distill"),
    ]
    assert (early.recipe.student.epochs, student.recipe.student.epochs) == (4, 3)
    assert student.recipe.student.weights == "runs/photos/unpruned/pruned.safetensors"
    assert [parent.role for parent in student.parents] == ["teacher", "unpruned"]


def test_a_control_run_and_explain_are_made_only_if_they_are_asked_for():
    asked = small_run.recipe(control={"seeds": 2})
    assert plan(asked, OUT)[-1].stages[:3] == ("data", "distill", "control")
    assert "control" not in plan(small_run.recipe(), OUT, DISTILL)[-1].stages
    assert "explain" not in plan(small_run.recipe(), OUT, selection(None, None))[-1].stages
    assert plan(small_run.recipe(), OUT, selection("explain", "explain"))[-1].stages == ("explain",)


def test_given_teachers_are_taken_as_they_are(finished_run, tmp_path):
    given = finished_run / "teacher"
    settings = small_run.recipe(teacher={"model": f"{given},{given}"})
    *teachers, student = plan(settings, tmp_path, DISTILL)
    assert shape(teachers) == [("teacher", str(given), "")] * 2
    assert [parent.folder for parent in student.parents] == [given, given]


def test_a_later_part_of_the_chain_trains_nothing():
    assert [run.stages for run in plan(small_run.recipe(), OUT, selection("bench", "report"))] == [
        (), ("bench", "report"),
    ]  # fmt: skip


def test_only_data_is_made_for_a_teacher_that_is_not_trained_yet(tmp_path):
    assert shape(plan(small_run.recipe(), tmp_path, ("data",))) == [("teacher", str(tmp_path / "teacher"), "data")]


def test_a_teacher_is_one_run_and_is_not_pruned():
    assert shape(plan_finetuning(small_run.recipe(), OUT)) == [("teacher", "runs/photos", "data finetune")]
    with pytest.raises(ConfigError, match=r"^prune\.latency: only a student is pruned"):
        plan_finetuning(small_run.recipe(prune={"latency": 0.5}), OUT)


def test_a_verb_has_the_role_and_the_parents_of_its_run(tmp_path):
    parents = [{"role": "teacher", "run": "teacher"}, {"role": "unpruned", "run": "/else/where"}]
    folder = small_run.run_of(tmp_path, parents=parents)
    (run,) = plan_verb(folder, small_run.recipe(), ("report", "bench"))
    assert run.stages == ("bench", "report")
    assert run.parents == (Parent("teacher", tmp_path / "teacher"), Parent("unpruned", Path("/else/where")))
    folder = small_run.run_of(tmp_path, role="unpruned")
    with pytest.raises(RunFolderError, match="is the run of a student before it is pruned, which has no stage 'bench'"):
        plan_verb(folder, small_run.recipe(), ("bench",))


def test_every_stage_can_be_selected():
    assert selection(None, None) == CHAIN
    assert selection("verify", "bench") == ("verify", "bench")
    with pytest.raises(ConfigError, match=r"^--to: no stage named 'expotr'\. Stages: data, finetune"):
        selection(None, "expotr")


def test_networks_that_share_a_time_know_of_each_other():
    asked = small_run.recipe(train_minutes=5, distill={"assistants": ["resnet18"]})
    teacher, assistant, student = plan(asked, OUT)
    assert [recipe.student.model for recipe in teacher.later] == ["resnet18", asked.student.model]
    assert [recipe.student.model for recipe in assistant.later] == [asked.student.model]
    assert (teacher.earlier, student.later) == ((), ())
    assert assistant.earlier == (teacher.folder,)
    assert student.earlier == (teacher.folder, assistant.folder)


def test_no_time_is_planned_around_pruning():
    asked = small_run.recipe(train_minutes=5, prune={"latency": 0.6})
    with pytest.raises(ConfigError, match=r"^train_minutes: no time is planned for a student that is pruned"):
        plan(asked, OUT)
