"""A training that is planned to fit a time: what is planned is done, kept, and said."""

import json
from pathlib import Path

import pytest
import small_run
from heard import Heard

from edgetl.data.store import ArrayStore
from edgetl.errors import ConfigError
from edgetl.runs.folder import RunFolder


@pytest.fixture
def learn(tmp_path_factory, tmp_path):
    """Fine-tune a network that knows digits: `run, heard = learn(minutes)`."""
    base = tmp_path_factory.getbasetemp()
    digits, weights = small_run.few_digits(base), small_run.weights_of_digits(base)

    def run(minutes, name="run", earlier=(), **teacher):
        network = {"model": "test_resnet", "small_images": "keep", "train_from": "layer4", "learning_rate": 0.01}
        settings = small_run.recipe(
            data={"path": str(digits), "image_size": 16, "resize": "crop"},
            teacher=network | {"weights": weights["damaged"], "batch_size": 8} | teacher,
            train_minutes=minutes,
        )
        heard = Heard()
        return small_run.made(settings, tmp_path / name, "teacher", ("data", "finetune"), heard), heard

    return run


def planned(run: RunFolder):
    return run.manifest["stages"]["finetune"]["planned"]


def test_much_time_buys_the_most_and_the_manifest_says_so(learn):
    run, heard = learn(60.0, strategy="partial", tuning_epochs=1)
    assert {key: planned(run)[key] for key in ("minutes", "strategy", "views", "epochs")} == {
        "minutes": 60.0,
        "strategy": "partial",
        "views": 16,
        "epochs": 16,
    }
    assert set(planned(run)["expected_seconds"]) <= {"features", "head", "training", "test"}
    assert len(run.file("metrics.jsonl").read_text().splitlines()) == 16
    assert run.manifest["stages"]["finetune"]["learned"]["probe"]["views"] in (1, 17)
    assert any(line.startswith("Planned for 60.0 min: partial, 16 views and 16 epochs: ") for line in heard.lines)
    assert "More time would not be used." in heard.lines


def test_a_training_in_full_is_planned_by_its_epochs(learn):
    run, _ = learn(60.0, strategy="features", tuning_epochs=1)
    assert (planned(run)["strategy"], planned(run)["epochs"]) == ("features", 0)
    _, heard = learn(0.0, "untimed", strategy="features")
    assert any(line.startswith("Expected time: 0 s (features") or "Expected time: " in line for line in heard.lines)


def test_too_little_time_is_refused_with_the_least_that_would_do(learn, tmp_path):
    with pytest.raises(ConfigError) as caught:
        learn(1e-4)
    text = str(caught.value)
    assert text.startswith("train_minutes: 0 s is too short for this network and these images on this machine.")
    assert "The least that would do is --time " in text
    assert "finetune" not in RunFolder.open(tmp_path / "run").manifest["stages"]


def test_a_stopped_run_goes_on_with_its_plan(learn, monkeypatch):
    straight, _ = learn(60.0, "straight", strategy="features")
    plain, count = ArrayStore.write, 0

    def write(store, *given):
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        plain(store, *given)

    with monkeypatch.context() as patch:
        patch.setattr(ArrayStore, "write", write)
        with pytest.raises(KeyboardInterrupt):
            learn(60.0, "stopped", strategy="features")
    monkeypatch.setattr("edgetl.train.in_time.measured", lambda *_: pytest.fail("it was measured again"))
    resumed, heard = learn(60.0, "stopped", strategy="features")
    assert resumed.weights_sha256 == straight.weights_sha256
    assert "Planned before: the head alone, on 16 views of each image." in heard.lines
    _, heard = learn(60.0, "stopped", strategy="features")
    assert "finetune: nothing has changed" in heard.lines


def test_another_plan_does_not_go_on_where_a_stopped_one_was(learn, monkeypatch, tmp_path):
    """Somebody deletes or edits the plan of a stopped run: its trials and checkpoints are of another training."""
    first, _ = learn(60.0, "first", strategy="partial")
    (plan,) = (tmp_path / "first" / ".plan").iterdir()
    stated = json.loads(plan.read_bytes())
    plan.write_text(json.dumps(stated | {"epochs": 2, "views": 4}))
    (tmp_path / "first" / "model.safetensors").write_bytes(b"gone")
    again, _ = learn(60.0, "first", strategy="partial")
    assert len(again.file("metrics.jsonl").read_text().splitlines()) == 2
    assert again.weights_sha256 != first.weights_sha256


def test_without_a_time_the_bound_of_a_trial_is_said_as_one(learn):
    _, heard = learn(0.0, "auto", tuning_epochs=1)
    (said,) = [line for line in heard.lines if line.startswith("Expected time: ")]
    assert said.startswith("Expected time: up to ")
    assert all(part in said for part in ("features", "trial", "training", "test"))
    _, heard = learn(0.0, "partial", strategy="partial", tuning_epochs=1)
    (said,) = [line for line in heard.lines if line.startswith("Expected time: ")]
    assert "up to" not in said


def test_the_time_of_a_student_is_what_its_teacher_left(tmp_path_factory, tmp_path: Path):
    from edgetl.chain.plan import plan
    from edgetl.chain.running import execute

    base = tmp_path_factory.getbasetemp()
    weights = small_run.weights_of_digits(base)["whole"]
    network = {"model": "test_resnet", "small_images": "keep", "weights": weights, "strategy": "features"}
    settings = small_run.recipe(
        data={"path": str(small_run.few_digits(base)), "image_size": 16, "resize": "crop"},
        teacher=network,
        student=network | {"image_size": 16},
        train_minutes=30.0,
    )
    heard = Heard()
    run = execute(plan(settings, tmp_path / "run", ("data", "finetune", "distill")), heard)
    told = [line for line in heard.lines if line.startswith("Planned for 30.0 min")]
    assert "of which this network gets" in told[0]
    assert "of which" not in told[1]
    entry = run.manifest["stages"]["distill"]["planned"]
    assert (entry["strategy"], entry["views"]) == ("features", 16)
    assert "teacher's answers" in entry["expected_seconds"]
    assert "planned" in RunFolder.open(tmp_path / "run" / "teacher").manifest["stages"]["finetune"]
