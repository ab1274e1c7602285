"""A whole run with pruning: trained, pruned, trained on; killed and gone on; nothing done twice."""

import json

import pytest
import small_run
from heard import Heard

from edgetl.chain.api import run, run_finetuning
from edgetl.errors import ConfigError, ModelError
from edgetl.prune.timing import Stopwatch
from edgetl.recipe.networks import PruneConfig
from edgetl.runs.reporter import Reporter
from edgetl.zoo.build import load_classifier

STAGES = ("data", "finetune", "distill", "control")


@pytest.fixture(scope="session")
def painter(tmp_path_factory):
    """A teacher of two colours."""
    base = tmp_path_factory.getbasetemp()
    data = {"path": str(small_run.colours(base)), "resize": "crop"}
    settings = small_run.recipe(data=data, teacher={"epochs": 2, "batch_size": 8})
    with small_run.user_cache(base):
        return small_run.made(settings, base / "prune-painter", "teacher", ("data", "finetune"), Reporter())


@pytest.fixture
def distill(painter, tmp_path):
    """Distill with pruning: `folder, lines = distill()`."""

    def make(place="run", stages=STAGES, **sections):
        options = {
            "data": painter.manifest["recipe"]["data"],
            "teacher": {"model": str(painter.path)},
            "student": {"epochs": 4, "model": "test_efficientnet", "batch_size": 8} | sections.pop("student", {}),
            "distill": {"cache": str(tmp_path / "answers")},
            "prune": {"latency": 0.6},
        }
        heard = Heard()
        made = run(small_run.recipe(**options | sections), tmp_path / place, stages=stages, reporter=heard)
        return made, heard.lines

    return make


def test_a_student_is_trained_pruned_and_trained_on(distill, latency):
    latency(lambda _: 0.55)
    folder, lines = distill(control={"seeds": 1})
    early = json.loads((folder.path / "unpruned" / "manifest.json").read_text())
    report = json.loads((folder.path / "unpruned" / "prune.json").read_text())
    final = folder.manifest
    assert [line.split(":")[0] for line in lines if ": done in" in line] == [
        "unpruned's data", "unpruned's distill", "unpruned's prune", "data", "distill", "control",
    ]  # fmt: skip
    for manifest in (early, final):
        assert manifest["recipe"]["student"]["epochs"] == 2
    assert final["model"]["pruned"] == {
        "unpruned_sha256": early["files"]["model.safetensors"]["sha256"],
        "unpruned_parameters": early["model"]["parameters"],
        "kept": report["kept"],
        "multiple": 8,
        "format": "openvino",
        "wish": 0.6,
        "latency_ratio": 0.55,
        "p50_ms": 0.55,
        "unpruned_p50_ms": 1.0,
    }
    assert final["model"]["origin"]["weights_sha256"] == early["files"]["pruned.safetensors"]["sha256"]
    assert final["model"]["parameters"] < early["model"]["parameters"]
    assert final["model"]["strides_removed"] == early["model"]["strides_removed"]
    assert final["contract"] == early["contract"]
    assert sum(p.numel() for p in load_classifier(folder).parameters()) == final["model"]["parameters"]


def test_nothing_is_done_twice(distill, latency, monkeypatch, tmp_path):
    latency(lambda _: 0.55)
    distill()
    answers = {path: path.stat().st_mtime_ns for path in (tmp_path / "answers").iterdir()}

    def never(*_):
        raise AssertionError("it was timed again")

    monkeypatch.setattr(Stopwatch, "time", never)
    monkeypatch.setattr("edgetl.prune.eligible.check_prunable", never)
    _, lines = distill()
    assert [line for line in lines if "nothing has changed" not in line] == []
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "answers").iterdir()} == answers


def test_the_teachers_answers_before_pruning_serve_after_it(distill, latency):
    latency(lambda _: 0.55)
    _, lines = distill()
    said = [line for line in lines if line.startswith("Teacher's answers")]
    assert [line.endswith("there already.") for line in said] == [False, True]


def test_a_run_goes_on_from_anywhere(distill, latency, monkeypatch, tmp_path):
    """Moved to another place the weights are the same, so that nothing is trained anew."""
    latency(lambda _: 0.55)
    distill()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").rename(tmp_path / "moved")
    _, lines = distill("moved")
    assert [line for line in lines if "nothing has changed" not in line] == []


def test_later_stages_alone_follow_the_same_recipe(distill, latency):
    latency(lambda _: 0.55)
    sections = {"export": {"formats": ["openvino"]}}
    trained = distill(**sections)[0].manifest["recipe"]
    folder, lines = distill(stages=("export",), **sections)
    assert folder.manifest["recipe"] == trained
    assert [line.split(" in ")[0] for line in lines if not line.startswith("Expected time")] == ["export: done"]


def test_killed_while_it_prunes_it_goes_on(distill, latency, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Stopwatch, "time", stop)
        with pytest.raises(KeyboardInterrupt):
            distill()
    latency(lambda _: 0.55)
    folder, lines = distill()
    assert "unpruned's distill: nothing has changed" in lines
    assert "pruned" in folder.manifest["model"]


def test_dropped_the_unpruned_student_is_trained_on(distill, latency):
    latency(lambda _: 1.0)
    folder, lines = distill()
    early = json.loads((folder.path / "unpruned" / "manifest.json").read_text())
    assert any(line.startswith("Pruning is dropped: ") for line in lines)
    assert "pruned" not in folder.manifest["model"]
    origin = folder.manifest["model"]["origin"]
    assert origin["weights_sha256"] == early["files"]["model.safetensors"]["sha256"]
    assert folder.manifest["model"]["parameters"] == early["model"]["parameters"]


def test_another_wish_prunes_again_and_trains_only_what_follows(distill, latency):
    latency(lambda parameters: 0.55 if parameters > 40_000 else 0.3)
    distill()
    folder, lines = distill(prune={"latency": 0.35})
    assert "unpruned's distill: nothing has changed" in lines
    assert [line.split(":")[0] for line in lines if ": done in" in line] == [
        "unpruned's prune", "data", "distill",
    ]  # fmt: skip
    assert folder.manifest["model"]["pruned"]["wish"] == 0.35


def test_what_cannot_be_pruned_is_refused_before_anything_is_trained(distill, tmp_path):
    with pytest.raises(ModelError, match=r"^test_vit: cannot be pruned \("):
        distill(student={"model": "test_vit"})
    with pytest.raises(ConfigError, match=r"^student\.epochs: "):
        distill(student={"epochs": 1})
    assert not (tmp_path / "run").exists()


def test_a_teacher_is_not_pruned(tmp_path):
    settings = small_run.recipe().model_copy(update={"prune": PruneConfig(latency=0.5)})
    with pytest.raises(ConfigError, match=r"^prune\.latency: only a student is pruned\. Use 'edgetl distill'\.$"):
        run_finetuning(settings, tmp_path / "run", Heard())
