"""The teacher's answers: each belongs to one view of one image, and is given once."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import small_run
import torch

from edgetl.artifact import RunFolder
from edgetl.data.index import read_index
from edgetl.data.views import view
from edgetl.distill.teacher import teacher_logits
from edgetl.errors import RunFolderError
from edgetl.pipeline import run_stages
from edgetl.reporter import Reporter
from edgetl.runner.contract import load_image
from edgetl.zoo.build import load_classifier

VIEWS = 2


@pytest.fixture(autouse=True)
def user_cache(tmp_path_factory):
    with small_run.user_cache(tmp_path_factory.getbasetemp()):
        yield


@pytest.fixture(scope="session")
def teacher(tmp_path_factory):
    return RunFolder.open(small_run.trained(tmp_path_factory.getbasetemp()))


@pytest.fixture(scope="module")
def answered(teacher, tmp_path_factory):
    """A distillation's context, and the answers to a part of the digits."""
    settings = small_run.recipe(distill={"teacher_views": VIEWS})
    run = RunFolder(tmp_path_factory.mktemp("student"), teacher.manifest)
    context = small_run.context(run, run.path, settings)
    with small_run.user_cache(tmp_path_factory.getbasetemp()):
        whole = read_index(teacher)
        index = replace(whole, samples=whole.samples[::9])
        return context, index, np.array(teacher_logits(load_classifier(teacher), index, "abc", context))


def modified_ns(context):
    return (context.folder.checkpoint_dir("distill") / "teacher_logits_VNK.npy").stat().st_mtime_ns


def test_an_answer_is_what_the_teacher_says_of_exactly_that_view(teacher, answered):
    context, index, answers_VNK = answered
    samples = index.split("train")
    assert (answers_VNK.shape, answers_VNK.dtype) == ((VIEWS, len(samples), 10), np.float16)
    classifier = load_classifier(teacher)
    # Around the first batch's end, and the last image of all.
    for number in range(VIEWS):
        for position in (0, 1, 63, 64, len(samples) - 1):
            image = load_image(index.file(samples[position]))
            pixels = view(image, context.contract, context.recipe.augment, seed=0, view=number, sample=position)
            with torch.inference_mode():
                expected_K = classifier(torch.from_numpy(pixels)[None])[0].numpy()
            np.testing.assert_allclose(answers_VNK[number, position], expected_K, rtol=2e-3, atol=2e-3)


def test_views_differ(answered):
    answers_VNK = answered[2].astype(np.float32)
    assert np.abs(answers_VNK[0] - answers_VNK[1]).max() > 0.1


def test_complete_answers_are_read_again(teacher, answered):
    context, index, answers_VNK = answered
    before = modified_ns(context)
    again = teacher_logits(load_classifier(teacher), index, "abc", context)
    np.testing.assert_array_equal(again, answers_VNK)
    assert modified_ns(context) == before


@pytest.mark.parametrize(
    "change",
    [
        "another teacher",
        "another seed",
        "another augmentation",
        "fewer images",
        "fewer views",
        "another normalisation",
    ],
)
def test_answers_to_something_else_are_not_read(change, teacher, answered, tmp_path):
    context, index, _ = answered
    sections = {
        "another augmentation": {"augment": {"crop_area": 0.7}},
        "fewer views": {"distill": {"teacher_views": 1}},
    }
    settings = small_run.recipe(**{"distill": {"teacher_views": VIEWS}} | sections.get(change, {}))
    if change == "another seed":
        settings = settings.model_copy(update={"seed": 1})
    contract = context.contract.to_dict()
    if change == "another normalisation":
        contract["mean"] = [0.1, 0.1, 0.1]
    run = RunFolder(context.folder.path, {**teacher.manifest, "contract": contract})
    if change == "fewer images":
        index = replace(index, samples=index.samples[1:])
    before = modified_ns(context)
    weights = "def" if change == "another teacher" else "abc"
    teacher_logits(load_classifier(teacher), index, weights, small_run.context(run, tmp_path, settings))
    assert modified_ns(context) > before


@pytest.mark.parametrize("damage", ["answers cut off", "note cut off", "note gone"])
def test_incomplete_answers_are_given_again(damage, teacher, answered):
    context, index, answers_VNK = answered
    teacher_logits(load_classifier(teacher), index, "abc", context)
    folder = context.folder.checkpoint_dir("distill")
    if damage == "answers cut off":
        content = (folder / "teacher_logits_VNK.npy").read_bytes()
        (folder / "teacher_logits_VNK.npy").write_bytes(content[: len(content) // 2])
    elif damage == "note cut off":
        (folder / "teacher_logits.json").write_text(json.dumps("abc")[:2])
    else:
        (folder / "teacher_logits.json").unlink()
    again = teacher_logits(load_classifier(teacher), index, "abc", context)
    np.testing.assert_array_equal(again, answers_VNK)


def test_a_student_learns_from_the_teacher_alone(teacher, tmp_path):
    """Without any weight on the labels, what the student knows comes from the answers; two views serve four epochs."""
    settings = small_run.recipe(distill={"hard_weight": 0.0, "teacher_views": 2})
    student = run_stages(settings, tmp_path / "run", "distill", ("data", "distill"), Reporter(), teacher=teacher)
    assert student.manifest["metrics"]["distill"]["test_top1"] > 0.8, "chance is 0.1"
    lineage = student.manifest["lineage"]["teacher"]
    assert lineage["weights_sha256"] == teacher.manifest["files"]["model.safetensors"]["sha256"]
    assert lineage["test_top1"] == teacher.manifest["metrics"]["finetune"]["test_top1"]
    assert lineage["run"] == str(teacher.path)
    assert not student.checkpoint_dir("distill").exists(), "the answers are not kept"


def test_a_teacher_tested_on_other_images_is_tested_on_the_students(teacher, tmp_path, tmp_path_factory):
    settings = small_run.recipe(student={"epochs": 1})
    own = read_index(teacher)
    others = replace(own, samples=tuple(s for s in own.samples if s.split != "test" or s.label < 5))
    moved = tmp_path / "teacher"
    shutil.copytree(teacher.path, moved)
    (moved / "data.json").write_text(json.dumps(others.to_dict()))
    manifest = json.loads((moved / "manifest.json").read_text())
    manifest["metrics"]["finetune"]["test_top1"] = 0.123
    run = RunFolder(moved, manifest)
    student = run_stages(settings, tmp_path / "run", "distill", ("data", "distill"), Reporter(), teacher=run)
    measured = student.manifest["lineage"]["teacher"]["test_top1"]
    assert measured == pytest.approx(teacher.manifest["metrics"]["finetune"]["test_top1"])


def test_student_and_teacher_see_the_same_pixels(tmp_path, tmp_path_factory):
    """A student that is the teacher agrees with every answer, in every epoch, if each is to the pixels that it sees."""
    data = {"path": str(small_run.colours(tmp_path_factory.getbasetemp())), "resize": "crop"}
    network = {"model": "test_vit", "small_images": "keep", "batch_size": 8}
    settings = small_run.recipe(data=data, teacher=network | {"epochs": 3, "learning_rate": 0.001})
    teacher = run_stages(settings, tmp_path / "teacher", "finetune", ("data", "finetune"), Reporter())
    still = {"weights": str(teacher.file("model.safetensors")), "epochs": 3, "learning_rate": 1e-12}
    alone = {"hard_weight": 0.0, "teacher_views": 2, "temperature": 1.0}
    wild = {"crop_area": 0.2, "colour": 0.9, "rotate_degrees": 90.0}
    copy = small_run.recipe(data=data, student=network | still, distill=alone, augment=wild)
    run = run_stages(copy, tmp_path / "run", "distill", ("data", "distill"), Reporter(), teacher=teacher)
    losses = [json.loads(line)["loss"] for line in run.file("metrics.jsonl").read_text().splitlines()]
    assert len(losses) == 3
    assert max(losses) < 1e-5


@pytest.fixture
def first_losses(tmp_path, tmp_path_factory):
    """Distill into another network in one batch an epoch, and return the losses."""
    data = {"path": str(small_run.colours(tmp_path_factory.getbasetemp())), "resize": "crop"}
    network = {"model": "test_vit", "small_images": "keep", "batch_size": 64, "learning_rate": 0.001}
    settings = small_run.recipe(data=data, teacher=network | {"epochs": 3})
    teacher = run_stages(settings, tmp_path / "teacher", "finetune", ("data", "finetune"), Reporter())

    def distill(name, epochs=1, learning_rate=0.001, **options):
        student = network | {"epochs": epochs, "learning_rate": learning_rate}
        asked = small_run.recipe(data=data, student=student, distill=options)
        run = run_stages(asked, tmp_path / name, "distill", ("data", "distill"), Reporter(), teacher=teacher)
        return [json.loads(line)["loss"] for line in run.file("metrics.jsonl").read_text().splitlines()]

    return distill


def test_the_epochs_cycle_through_the_views(first_losses):
    """A student that stands still has the same loss whenever the same view comes again, and another on another one."""
    losses = first_losses("still", epochs=4, learning_rate=1e-12, teacher_views=2)
    assert losses[2:] == pytest.approx(losses[:2], rel=1e-5)
    assert losses[0] != pytest.approx(losses[1], rel=1e-5)


def test_temperature_and_share_of_the_labels_are_those_of_the_recipe(first_losses):
    plain = first_losses("plain")[0]
    assert first_losses("hot", temperature=8.0)[0] != pytest.approx(plain, rel=1e-4)
    assert first_losses("hard", hard_weight=0.9)[0] != pytest.approx(plain, rel=1e-4)


def test_a_distillation_without_a_teacher_says_what_is_missing(teacher, tmp_path):
    from edgetl.distill.stage import run

    with pytest.raises(RunFolderError, match=r"distillation needs a teacher's run folder \(--teacher\)"):
        run(small_run.context(teacher, tmp_path))
