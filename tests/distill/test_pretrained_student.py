"""A pretrained student: it starts from its own probe, in its own size, and the teacher has to prove itself."""

import json
from dataclasses import replace

import numpy as np
import pytest
import small_run
import torch
from heard import Heard
from PIL import Image
from safetensors.torch import load_file

from edgetl.data.index import read_index
from edgetl.data.sizing import Preprocessing, student_contract
from edgetl.distill.lesson import teachers_of
from edgetl.distill.pretrained import alone_task, taught_task, why_not_asked
from edgetl.recipe.networks import StudentConfig
from edgetl.runs.intervals import accuracy_interval
from edgetl.train.strategies.partial import HEAD_ALONE
from edgetl.zoo.build import build_classifier

STUDENT = {
    "model": "test_resnet",
    "small_images": "keep",
    "train_from": "layer4",
    "tuning_epochs": 30,
    "learning_rate": 0.01,
    "batch_size": 8,
    "image_size": 16,
}
DATA = {"image_size": 32}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return small_run.few_digits(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return small_run.weights_of_digits(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def teacher(digits, weights, tmp_path_factory):
    """The head of a network that knows the digits."""
    asked = small_run.recipe(
        data=DATA | {"path": str(digits)},
        teacher={"model": "test_resnet", "weights": weights["whole"], "strategy": "features"},
    )
    base = tmp_path_factory.getbasetemp()
    with small_run.user_cache(base):
        return small_run.made(asked, base / "few-digits-teacher", "teacher", ("data", "finetune"))


def settings(digits, files, start, distill=None, **student):
    return small_run.recipe(
        data=DATA | {"path": str(digits)},
        student=STUDENT | {"weights": files[start]} | student,
        distill=distill or {},
    )


@pytest.fixture
def learn(digits, weights, teacher, tmp_path):
    """Distill the teacher into a student: `run, heard = learn("damaged")`."""

    def run(start, name="run", stages=("data", "distill"), distill=None, **student):
        heard = Heard()
        asked = settings(digits, weights, start, distill, **student)
        return small_run.made(asked, tmp_path / name, "student", stages, heard, teachers=(teacher,)), heard

    return run


def test_it_is_tried_with_the_teacher_and_without_and_says_which_was_better(learn):
    run, heard = learn("damaged")
    learned = run.manifest["stages"]["distill"]["learned"]
    assert learned["strategy"] == "partial"
    assert set(learned["tried"]) == {"by the teacher", "by labels"}
    assert learned["tried"][learned["taught"]] == max(learned["tried"].values())
    assert any(
        line.startswith("Chosen: partial, since") and f"taught {learned['taught']} (" in line for line in heard.lines
    )
    assert run.manifest["metrics"]["distill"]["test_top1"] > 0.8


def test_a_teacher_teaches_twice_as_long_as_labels(learn):
    run, _ = learn("whole", strategy="partial", tuning_epochs="auto")
    records = [json.loads(line) for line in run.file("metrics.jsonl").read_text().splitlines()]
    assert len(records) == 16
    student = StudentConfig(model="test_resnet")
    assert (student.epochs_from_head(taught=True), student.epochs_from_head(taught=False)) == (16, 8)


def test_its_size_is_its_own_and_the_teacher_sees_its_own(learn, teacher):
    run, _ = learn("whole", strategy="features")
    assert (run.contract.height, teacher.contract.height) == (16, 32)
    stated = [json.loads(file.read_text()) for file in (teacher.path / ".answers").glob("*/logits.json")]
    assert any(each["shape"] == [9, 80, 4] for each in stated), "an evaluation view and eight others of 80 images"


def test_its_head_is_fitted_to_what_the_teacher_answers(digits, weights, teacher, learn, tmp_path):
    run, _ = learn("whole", strategy="features", stages=("data",))
    asked = settings(digits, weights, "whole", {"loss": {"kd": 0.5, "hard": 0.5}})
    context = small_run.context(run, tmp_path, asked)
    context = type(context)(**{**vars(context), "teachers": (teacher,)})
    student, _ = build_classifier(asked.student, 4, 16, seed=0)
    index, teachers = read_index(run), teachers_of(context)
    taught = taught_task(student, teachers, index, context, name="distill", seed=0)
    alone = alone_task(student, index, context, name="distill", seed=0)
    targets_RNK, true_RNK = (task.teaching.targets(task.grid, 4) for task in (taught, alone))
    np.testing.assert_allclose(targets_RNK.sum(-1), 1, atol=1e-3)
    spread = 2 * targets_RNK - true_RNK
    assert spread.min() > -2e-3, "half of the target is the true label"
    with torch.inference_mode():
        from edgetl.data.views import evaluation
        from edgetl.runner.contract import load_image

        image_HWC = evaluation(load_image(index.file(taught.grid.samples[7])), teacher.contract)
        logits_NK = teachers[0].logits(torch.from_numpy(image_HWC)[None])
    np.testing.assert_allclose(spread[0, 7], torch.softmax(logits_NK, 1)[0], atol=1e-2)


def test_nothing_that_judges_is_mixed_into_what_teaches(digits, weights, teacher, learn, tmp_path):
    run, _ = learn("whole", strategy="features", stages=("data",))
    asked = settings(digits, weights, "whole", {"mixup": 0.5})
    context = small_run.context(run, tmp_path, asked)
    context = type(context)(**{**vars(context), "teachers": (teacher,)})
    student, _ = build_classifier(asked.student, 4, 16, seed=0)
    taught = taught_task(student, teachers_of(context), read_index(run), context, name="distill", seed=3)
    grid = taught.grid
    mixed = [row for row in range(grid.rows) if grid.mixed(row)]
    assert mixed == [1, 3, 5, 7], "every second augmented view, and not the last"
    for folds in (taught.folds(2), taught.folds(4)):
        for learn_N, judge_N in folds:
            for row in mixed:
                partners = [grid.mixed(row)[position].partner for position in learn_N]
                assert not set(partners) & set(judge_N.tolist())


def test_a_student_of_random_weights_learns_in_full(learn, weights):
    run, heard = learn("whole", weights="none", epochs=1, image_size="auto")
    learned = run.manifest["stages"]["distill"]["learned"]
    assert learned["strategy"] == "full"
    assert "Chosen: full, since the student has no pretrained weights to keep." in heard.lines
    assert run.contract.height == 32


def test_the_control_compares_students_that_start_from_their_probes(learn):
    run, heard = learn("whole", strategy="features", stages=("data", "distill"))
    recipe = settings_with_control(run)
    folder = small_run.made(
        recipe, run.path, "student", ("data", "distill", "control"), heard, teachers=tuple(run.parents("teacher"))
    )
    found = folder.read_json("control.json")
    assert len(found["top1_with_teacher"]) == len(found["top1_without_teacher"]) == 1
    assert found["top1_with_teacher"][0] == pytest.approx(folder.manifest["metrics"]["distill"]["test_top1"])


def test_it_learns_from_images_without_labels_and_in_more_epochs_than_there_are_views(learn, tmp_path):
    rng, folder = np.random.default_rng(0), tmp_path / "more"
    folder.mkdir()
    for number in range(5):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    # All stages are trained, so nothing is stored but the teacher's answers, to eight views.
    run, _ = learn("whole", strategy="lpft", tuning_epochs=9, distill={"unlabelled": str(folder)})
    assert run.manifest["metrics"]["data"]["unlabelled_images"] == 5
    taught, _ = learn("damaged", "tried", tuning_epochs=1, distill={"unlabelled": str(folder)})
    assert taught.manifest["stages"]["distill"]["learned"]["val_images"] in (40, 80), "they judge nothing"


def settings_with_control(run):
    from edgetl.recipe.fields import Recipe

    return Recipe.build(run.manifest["recipe"], {"control.seeds": 1})


def test_the_weights_before_the_first_trained_stage_are_those_of_the_file(learn, weights):
    run, _ = learn("damaged", strategy="partial", tuning_epochs=1)
    before, after = load_file(weights["damaged"]), load_file(run.file("model.safetensors"))
    for name, value in before.items():
        if not name.startswith(("layer4", "fc")):
            torch.testing.assert_close(after[name], value, rtol=0, atol=0)
    assert not torch.equal(after["layer4.0.conv1.weight"], before["layer4.0.conv1.weight"])


@pytest.mark.parametrize(
    ("teacher_px", "native", "asked", "px"), [(260, 224, "auto", 224), (128, 224, "auto", 128), (128, 224, 160, 160)]
)
def test_a_student_has_its_native_size_unless_its_teacher_sees_less(teacher_px, native, asked, px, teacher):
    from dataclasses import replace

    contract = replace(teacher.contract, height=teacher_px, width=teacher_px)
    own = student_contract(contract, read_index(teacher), asked, Preprocessing((0.5,) * 3, (0.5,) * 3, native, True))
    assert (own.height, own.width, own.mean) == (px, px, (0.5,) * 3)
    assert own.crop_fraction == contract.crop_fraction


def test_a_teacher_that_is_worse_than_the_head_beyond_luck_is_not_asked(learn, digits, weights, tmp_path):
    run, _ = learn("whole", strategy="features", stages=("data", "distill"))
    asked = settings(digits, weights, "whole")
    context = small_run.context(run, tmp_path, asked)
    teachers = teachers_of(type(context)(**{**vars(context), "teachers": tuple(run.parents("teacher"))}))
    index, images = read_index(run), 80
    learned = teachers[0].run.manifest["stages"]["finetune"]["learned"]
    at_most = accuracy_interval(teachers[0].run.manifest["metrics"]["finetune"]["val_top1"], learned["val_images"])[1]
    assert "the teacher is right about " in why_not_asked(teachers, at_most + 0.001, images, index)
    assert why_not_asked(teachers, at_most - 0.001, images, index) == "", "it may be luck"
    fewer = replace(index, samples=index.samples[:-30])
    assert why_not_asked(teachers, at_most + 0.001, images, fewer) == "", "it was judged on other images"


def test_it_counts_no_more_than_its_teacher_reached_on_images_that_were_new_to_it(
    learn, digits, weights, teacher, tmp_path
):
    run, _ = learn("whole", strategy="features", stages=("data",))
    context = small_run.context(run, tmp_path, settings(digits, weights, "whole"))
    context = replace(context, teachers=(teacher,))
    student, _ = build_classifier(context.recipe.student, 4, 16, seed=0)
    index, teachers = read_index(run), teachers_of(context)

    def counted(images, top1):
        return taught_task(student, teachers, images, context, name="distill", seed=0).teaching.counted(top1)

    reached = teacher.manifest["metrics"]["finetune"]["val_top1"]
    assert counted(index, 1.0) == reached
    assert counted(index, 0.25) == 0.25
    fewer = replace(index, samples=index.samples[:-1])
    assert counted(fewer, 1.0) == 1.0, "nothing tells which of these were new to the teacher"
    teacher.manifest["stages"]["finetune"]["learned"]["judged"] = HEAD_ALONE
    try:
        assert counted(index, 1.0) == 1.0, "what was judged is not what teaches"
        assert why_not_asked(teachers, 1.0, 80, index) == ""
    finally:
        del teacher.manifest["stages"]["finetune"]["learned"]["judged"]


def test_a_teacher_that_knew_the_answers_does_not_win_by_that(learn, monkeypatch):
    monkeypatch.setattr("edgetl.distill.pretrained._best_on_new", lambda *_: 0.1)
    run, heard = learn("damaged")
    learned = run.manifest["stages"]["distill"]["learned"]
    assert learned["tried"]["by the teacher"] == 0.1
    assert learned["taught"] == "by labels"
    assert any(line.endswith("taught by labels (10.0% by the teacher).") for line in heard.lines)


def test_where_training_wins_nothing_the_head_that_is_kept_was_judged_fairly(learn, monkeypatch):
    monkeypatch.setattr("edgetl.train.strategies.auto.is_better", lambda *_, **__: False)
    run, heard = learn("damaged", "tried")
    taught, _ = learn("damaged", "taught", strategy="features")
    assert run.manifest["stages"]["distill"]["learned"]["strategy"] == "features"
    assert any(line.startswith("Probe: ") for line in heard.lines)
    kept, other = (load_file(each.file("model.safetensors"))["fc.weight"] for each in (run, taught))
    assert not torch.equal(kept, other), "a head that is fitted to a teacher that knows the answers"


def test_without_its_teacher_a_control_student_has_as_many_epochs(learn, monkeypatch):
    run, _ = learn("whole", strategy="features", tuning_epochs="auto")
    given = []

    def compared(context, seeds):
        given.append(context.recipe.student.tuning_epochs)
        return np.ones((1, 4), bool), np.ones((1, 4), bool)

    monkeypatch.setattr("edgetl.distill.control._compare_from_probe", compared)
    small_run.made(
        settings_with_control(run), run.path, "student", ("control",), Heard(), teachers=tuple(run.parents("teacher"))
    )
    assert given == [16]


def test_where_no_teacher_is_asked_the_student_learns_from_labels(learn, teacher, monkeypatch):
    monkeypatch.setattr("edgetl.distill.stage.why_not_asked", lambda *_: "it knows less")
    answered = set((teacher.path / ".answers").glob("*"))
    run, heard = learn("damaged", image_size=8)
    learned = run.manifest["stages"]["distill"]["learned"]
    assert learned["not_asked"] == "it knows less"
    assert "taught" not in learned
    assert "Not asked: it knows less." in heard.lines
    assert set((teacher.path / ".answers").glob("*")) == answered
