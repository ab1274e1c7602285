"""A plan is run once, by one process at a time, and nothing of the user's is lost."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import small_run
from heard import Heard

from edgetl.chain.forecast import forecast, total_of
from edgetl.chain.plan import plan, plan_finetuning
from edgetl.chain.preflight import check
from edgetl.chain.running import execute
from edgetl.chain.stages import STAGES
from edgetl.errors import MissingExtra, RunFolderError
from edgetl.runs import installed
from edgetl.runs.lock import hold
from edgetl.runs.reporter import Reporter
from edgetl.runs.stage import StageResult

HOLDER = """
import sys
from pathlib import Path
from edgetl.runs.lock import hold

with hold(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def user_cache(tmp_path_factory):
    with small_run.user_cache(tmp_path_factory.getbasetemp()):
        yield


@pytest.fixture
def teacher(tmp_path_factory, tmp_path):
    """A trained network that a test may change."""
    return Path(shutil.copytree(small_run.trained(tmp_path_factory.getbasetemp()), tmp_path / "trained"))


def test_a_stage_says_its_accuracies_in_percent_with_the_interval_of_their_split(teacher, monkeypatch):
    found = {"test_top1": 253 / 269, "test_loss": 0.21142, "val_top1": 1.0, "reference_top1": 0.5}
    fake = replace(STAGES["finetune"], load=lambda: lambda _: StageResult(metrics=found))
    monkeypatch.setitem(STAGES, "finetune", fake)
    manifest = json.loads((teacher / "manifest.json").read_text())
    manifest["stages"]["data"]["metrics"]["val_images"] = 36
    (teacher / "manifest.json").write_text(json.dumps(manifest))
    heard = Heard()
    small_run.made(small_run.recipe(), teacher, "teacher", ("finetune",), heard, again=("finetune",))
    assert heard.lines[-1].partition("; ")[2] == (
        "test top-1 94.1% (90.6 to 96.3%), test loss 0.2114, val top-1 100.0% (90.4 to 100.0%),"
        " reference top-1 50.0% (43.9 to 55.7%)"
    )


@pytest.fixture
def other_process(tmp_path):
    """Another process that writes in a folder while inside."""
    held = []

    def start(folder):
        pipe = subprocess.PIPE
        process = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdin=pipe, stdout=pipe, text=True)
        held.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in held:
        process.kill()
        process.communicate()


def test_a_run_folder_has_one_writer(teacher, other_process):
    process = other_process(teacher)
    before = {path.name: path.read_bytes() for path in teacher.iterdir() if path.is_file()}
    with pytest.raises(RunFolderError) as caught:
        execute(plan_finetuning(small_run.recipe(teacher={"epochs": 1}), teacher), Reporter())
    assert str(caught.value) == (
        f"{teacher}: another edgetl (process {process.pid}) is writing here. Wait for it, or choose another place with"
        " --out"
    )
    assert {path.name: path.read_bytes() for path in teacher.iterdir() if path.is_file()} == before


def test_a_killed_writer_locks_nobody_out(tmp_path, other_process):
    process = other_process(tmp_path / "run")
    process.kill()
    process.wait()
    assert (tmp_path / "run" / ".lock").exists()
    with hold(tmp_path / "run"):
        pass
    assert list((tmp_path / "run").iterdir()) == []
    with hold(tmp_path / "new" / "run"):
        pass
    assert not (tmp_path / "new").exists(), "an empty folder is not left behind"


def test_a_student_is_locked_with_its_teacher(tmp_path, other_process):
    other_process(tmp_path / "run" / "teacher")
    with pytest.raises(RunFolderError, match="teacher: another edgetl"):
        execute(plan(small_run.recipe(), tmp_path / "run", ("data", "finetune", "distill")), Reporter())


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        ({"teacher": {"model": "test_vit"}}, "holds a trained test_resnet, not test_vit"),
        ({"data": {"path": "{colours}"}}, "holds a network trained on digits, not on {colours}"),
    ],
)
def test_a_network_of_something_else_is_overwritten_only_by_force(sections, problem, teacher, tmp_path_factory):
    colours = str(small_run.colours(tmp_path_factory.getbasetemp()))
    filled = json.loads(json.dumps(sections).replace("{colours}", colours))
    planned = plan_finetuning(small_run.recipe(**filled), teacher)
    with pytest.raises(RunFolderError) as caught:
        check(planned, Reporter())
    assert problem.replace("{colours}", colours) in str(caught.value)
    assert str(caught.value).endswith("Choose another place with --out, or overwrite it with --force")
    check(planned, Reporter(), force=True)


def test_more_epochs_of_the_same_network_are_no_overwriting(teacher):
    check(plan_finetuning(small_run.recipe(teacher={"epochs": 9}), teacher), Reporter())


def test_the_same_images_at_another_place_are_the_same_data(tmp_path, tmp_path_factory):
    colours = small_run.colours(tmp_path_factory.getbasetemp())
    settings = small_run.recipe(data={"path": str(colours)}, teacher={"epochs": 1})
    small_run.made(settings, tmp_path / "run", "teacher", ("data", "finetune"))
    moved = shutil.copytree(colours, tmp_path / "moved")
    check(
        plan_finetuning(small_run.recipe(data={"path": str(moved)}, teacher={"epochs": 1}), tmp_path / "run"), Heard()
    )


def test_the_run_of_another_role_is_refused(teacher):
    with pytest.raises(RunFolderError, match="is the run of a teacher, not of a student"):
        small_run.made(small_run.recipe(), teacher, "student", ("data",))


def test_a_missing_extra_is_named_before_anything_is_written(tmp_path, monkeypatch):
    known = installed.installed_version
    monkeypatch.setattr(installed, "installed_version", lambda name: None if name == "openvino" else known(name))
    with pytest.raises(MissingExtra, match=r"^openvino is not installed\. Run: pip install 'edgetl\[openvino\]'$"):
        check(plan(small_run.recipe(), tmp_path / "run"), Reporter())
    check(plan(small_run.recipe(export={"formats": ["onnx"]}), tmp_path / "run"), Reporter())
    assert list(tmp_path.iterdir()) == []


def test_a_forecast_says_what_is_current_and_what_would_run(teacher, tmp_path):
    planned = plan_finetuning(small_run.recipe(), teacher)
    assert [(each.stage, each.state) for each in forecast(planned, Reporter())] == [
        ("data", "current"), ("finetune", "current"),
    ]  # fmt: skip
    assert total_of(forecast(planned, Reporter())) == "Nothing would run: every stage is current."
    more = forecast(plan_finetuning(small_run.recipe(teacher={"epochs": 9}), teacher), Reporter())
    assert [(each.stage, each.state) for each in more] == [("data", "current"), ("finetune", "again")]
    assert total_of(more).startswith("1 of 2 stages would run: about ")
    fresh = forecast(plan(small_run.recipe(), tmp_path / "run"), Reporter())
    assert {each.state for each in fresh} == {"to do"}
    assert "none has run here before" in total_of(fresh)
    assert not (tmp_path / "run").exists()


def test_what_follows_from_a_network_that_would_be_trained_again_is_not_current(tmp_path, tmp_path_factory):
    colours = small_run.colours(tmp_path_factory.getbasetemp())

    def settings(epochs):
        network = {"epochs": epochs, "batch_size": 8}
        return small_run.recipe(data={"path": str(colours)}, teacher=network, student={"epochs": 1, "batch_size": 8})

    stages = ("data", "finetune", "distill")
    execute(plan(settings(1), tmp_path / "run", stages), Reporter())
    again = forecast(plan(settings(2), tmp_path / "run", stages), Reporter())
    assert [(each.run.role, each.stage, each.state) for each in again] == [
        ("teacher", "data", "current"),
        ("teacher", "finetune", "again"),
        ("student", "data", "again"),
        ("student", "distill", "again"),
    ]
