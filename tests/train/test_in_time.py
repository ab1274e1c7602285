"""A training that is planned to fit a time: what is planned is done, kept, and said."""

from pathlib import Path

import pytest
import small_run
from heard import Heard

from edgetl.data.store import ArrayStore
from edgetl.errors import ConfigError
from edgetl.runs.folder import RunFolder
from edgetl.train.in_time import as_planned


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


def test_what_another_plan_left_is_not_gone_on_with(learn, tmp_path):
    """Checkpoints and trials are known by the hash of the inputs, which are the same for both."""
    run, _ = learn(0.0, strategy="features")
    context = small_run.context(run, tmp_path)
    plan = {"strategy": "partial", "views": 4, "epochs": 4}
    four = as_planned(context, "teacher", plan)
    assert (four.recipe.teacher.strategy, four.recipe.teacher.views, four.recipe.teacher.tuning_epochs) == (
        "partial",
        4,
        4,
    )
    assert len({context.inputs, four.inputs, as_planned(context, "teacher", plan | {"epochs": 5}).inputs}) == 3
    full = as_planned(context, "teacher", {"strategy": "full", "views": 0, "epochs": 5}).recipe.teacher
    assert (full.strategy, full.views, full.epochs) == ("full", "auto", 5)


def test_without_a_time_the_bound_of_a_trial_is_said_as_one(learn):
    _, heard = learn(0.0, "auto", tuning_epochs=1)
    (said,) = [line for line in heard.lines if line.startswith("Expected time: ")]
    assert said.startswith("Expected time: up to ")
    assert all(part in said for part in ("features", "trial", "training", "test"))
    _, heard = learn(0.0, "features", strategy="features")
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
