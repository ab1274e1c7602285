"""The data stage."""

import json
import os
import shutil
from dataclasses import replace

import pytest
import small_run

from edgetl.data.index import read_index
from edgetl.data.sizing import Preprocessing
from edgetl.data.stage import fingerprint, run
from edgetl.devices.profiles import find_target
from edgetl.errors import ConfigError, DataError, RunFolderError
from edgetl.recipe.fields import Recipe
from edgetl.runner.contract import Contract
from edgetl.runs.folder import RunFolder
from edgetl.runs.reporter import Reporter
from edgetl.runs.stage import StageContext

NETWORK = Preprocessing((0.5, 0.5, 0.5), (0.25, 0.25, 0.25), 224, False)


def recipe_for(path, **data):
    return Recipe.model_validate({"data": {"path": str(path), **data}})


@pytest.fixture
def stage(tmp_path):
    """Run the stage and keep what it made, as the pipeline does."""

    def run_it(recipe, name="run", teachers=()):
        folder = RunFolder.prepare(tmp_path / name)
        with folder.writing("data") as out:
            target = find_target("linux-x86")
            context = StageContext(recipe, target, folder, out, Reporter(), "hash", teachers=tuple(teachers))
            result = run(context, NETWORK)
            folder.keep("data", out, {"inputs": "hash", "metrics": result.metrics}, result.facts)
        return folder, result

    return run_it


def test_it_writes_index_labels_and_contract(pets, stage):
    folder, result = stage(recipe_for(pets))
    assert folder.file("labels.txt").read_text() == "cat\ndog\n"
    assert len(read_index(folder).samples) == 17
    assert result.metrics == {"train_images": 11, "val_images": 3, "test_images": 3, "classes": 2}
    contract = Contract.from_dict(folder.manifest["contract"])
    assert (contract.labels, contract.height, contract.crop_fraction) == (("cat", "dog"), 32, 1.0)
    assert result.details["validation"] == "taken from train"


def test_the_word_digits_is_the_embedded_set_even_beside_such_a_folder(pets, digits, stage, monkeypatch):
    pets.rename(pets.with_name("digits"))
    monkeypatch.chdir(pets.parent)
    folder, _ = stage(recipe_for("digits"))
    assert read_index(folder).root == digits
    folder, _ = stage(recipe_for("./digits"), name="another")
    assert read_index(folder).labels == ("cat", "dog")


def test_with_a_teacher_the_contract_is_the_teachers(pets, stage):
    teacher, _ = stage(recipe_for(pets, image_size=64, resize="squash"), name="teacher")
    student, _ = stage(recipe_for(pets), teachers=[teacher])
    assert student.manifest["contract"] == teacher.manifest["contract"]


def test_a_teacher_that_was_trained_on_this_runs_test_images_is_refused(pets, stage):
    teacher, _ = stage(recipe_for(pets), name="teacher")
    other = recipe_for(pets).model_copy(update={"seed": 1})
    with pytest.raises(DataError, match=r"the teacher was trained on \d of this run's test images \(\w+/.*--seed 0"):
        stage(other, teachers=[teacher])


def test_where_the_seeds_are_equal_the_cure_is_another_teacher(pets, stage, paint):
    teacher, _ = stage(recipe_for(pets), name="teacher")
    for label in ("cat", "dog"):
        paint(f"train/{label}", 4)
        (pets / "val").mkdir(exist_ok=True)
        (pets / label).rename(pets / "val" / label)
    with pytest.raises(DataError) as caught:
        stage(recipe_for(pets), teachers=[teacher])
    assert "the teacher was trained on 11 of this run's test images (val/cat/" in str(caught.value)
    assert str(caught.value).endswith("Train a teacher on this folder, or take these images out of the test split")


def test_a_teacher_of_the_same_train_and_val_folders_is_accepted_whatever_its_seed(pets, stage, paint):
    for label in ("cat", "dog"):
        shutil.rmtree(pets / label)
        paint(f"train/{label}", 8)
        paint(f"val/{label}", 2)
    teacher, _ = stage(recipe_for(pets), name="teacher")
    stage(recipe_for(pets).model_copy(update={"seed": 1}), teachers=[teacher])


def test_a_teacher_of_other_classes_is_refused_by_name(pets, stage, paint):
    teacher, _ = stage(recipe_for(pets), name="teacher")
    (pets / "cat").rename(pets / "wolf")
    paint("bird", 3)
    with pytest.raises(DataError) as caught:
        stage(recipe_for(pets), teachers=[teacher])
    assert str(caught.value) == (
        f"{pets}: the teacher does not know 2 of the data's classes [bird, wolf]; of its own [cat] are left. "
        "Say which is which with --set 'distill.class_map={bird: cat}', or give another teacher"
    )


def test_a_class_map_says_what_the_teacher_calls_a_class(pets, stage):
    teacher, _ = stage(recipe_for(pets), name="teacher")
    (pets / "cat").rename(pets / "wildcat")
    recipe = Recipe.model_validate({"data": {"path": str(pets)}, "distill": {"class_map": {"wildcat": "cat"}}})
    student, _ = stage(recipe, teachers=[teacher])
    assert student.contract.labels == ("dog", "wildcat")


@pytest.mark.parametrize(
    ("class_map", "problem"),
    [
        ({"wolf": "cat"}, r"distill\.class_map: the data has no class 'wolf'\. It has \[cat, dog\]\."),
        ({"dog": "cat"}, r"distill\.class_map: two classes of the data mean the teacher's 'cat'"),
        ({"dog": "hound"}, r"the teacher does not know 1 of the data's classes \[dog\]; of its own \[dog\] are left"),
    ],
)
def test_an_impossible_class_map_is_refused(class_map, problem, pets, stage):
    teacher, _ = stage(recipe_for(pets), name="teacher")
    recipe = Recipe.model_validate({"data": {"path": str(pets)}, "distill": {"class_map": class_map}})
    with pytest.raises((ConfigError, DataError), match=problem):
        stage(recipe, teachers=[teacher])


def test_a_teacher_of_more_classes_must_be_meant(pets, stage, paint):
    paint("bird", 6)
    teacher, _ = stage(recipe_for(pets), name="teacher")
    shutil.rmtree(pets / "bird")
    with pytest.raises(DataError, match=r"knows 1 classes more \[bird\].*--set 'distill\.class_map=\{cat: cat\}'"):
        stage(recipe_for(pets), teachers=[teacher])
    recipe = Recipe.model_validate({"data": {"path": str(pets)}, "distill": {"class_map": {"cat": "cat"}}})
    student, _ = stage(recipe, teachers=[teacher])
    assert student.contract.labels == ("cat", "dog")


@pytest.mark.parametrize(("field", "asked", "known"), [("resize", "squash", "crop"), ("filter", "bicubic", "bilinear")])
def test_another_preprocessing_than_the_teachers_is_refused_by_name(field, asked, known, pets, stage):
    teacher, _ = stage(recipe_for(pets), name="teacher")
    with pytest.raises(ConfigError) as caught:
        stage(recipe_for(pets, **{field: asked}), teachers=[teacher])
    assert str(caught.value) == (
        f"data.{field}: is {asked}, but the teacher was trained with {known}. "
        f"Set data.{field}={known}, or train a teacher with data.{field}={asked}."
    )


def test_teachers_that_see_different_pixels_are_refused(pets, stage):
    first, _ = stage(recipe_for(pets), name="first")
    second, _ = stage(recipe_for(pets, filter="bicubic"), name="second")
    with pytest.raises(ConfigError, match=r"first was trained with filter bilinear, .*second with bicubic"):
        stage(recipe_for(pets), teachers=[first, second])


def test_a_teacher_that_learned_from_this_runs_test_images_without_labels_is_refused(pets, stage, tmp_path):
    teacher, _ = stage(recipe_for(pets), name="teacher")
    index = read_index(teacher)
    place = tmp_path / "teacher" / "data.json"
    seen = [replace(sample, split="unlabelled") for sample in index.split("test")]
    place.write_text(json.dumps(replace(index, samples=(*index.samples, *seen)).to_dict(place.parent)))
    taught = small_run.run_of(teacher.path, {"data": {"files": [place.name]}}, contract=teacher.manifest["contract"])
    with pytest.raises(DataError, match="the teacher was trained on 3 of this run's test images"):
        stage(recipe_for(pets), teachers=[taught])


def test_a_teacher_of_another_size_is_refused(pets, stage):
    teacher, _ = stage(recipe_for(pets, image_size=64), name="teacher")
    with pytest.raises(ConfigError, match=r"data\.image_size: is 32, but the teacher was trained at 64\. Leave it out"):
        stage(recipe_for(pets, image_size=32), teachers=[teacher])


def test_a_teacher_without_a_contract_is_refused(pets, stage, tmp_path):
    with pytest.raises(RunFolderError, match="empty: has no contract"):
        stage(recipe_for(pets), teachers=[RunFolder.prepare(tmp_path / "empty")])


def test_a_teacher_of_a_newer_edgetl_is_refused(pets, stage):
    teacher, _ = stage(recipe_for(pets), name="teacher")
    teacher.manifest["contract"]["schema_version"] = 99
    with pytest.raises(RunFolderError, match=r"manifest\.json: contract schema 99 is newer than 1"):
        stage(recipe_for(pets), teachers=[teacher])


def test_a_refused_folder_leaves_nothing_behind(tmp_path, stage):
    with pytest.raises(DataError, match="no such folder"):
        stage(recipe_for(tmp_path / "nowhere"), name="run")
    assert not (tmp_path / "run").exists()


def test_the_fingerprint_changes_with_a_files_place_size_or_time_only(pets, paint):
    recipe = recipe_for(pets)
    first = fingerprint(recipe)
    assert fingerprint(recipe) == first == fingerprint(recipe_for(pets, image_size=64))
    (pets / "notes.txt").touch()
    (pets / "cat/.hidden.png").touch()
    assert fingerprint(recipe) == first
    os.utime(pets / "cat/0000.png", ns=(1, 1))
    second = fingerprint(recipe)
    (pets / "cat/0000.png").rename(pets / "cat/9999.png")
    third = fingerprint(recipe)
    paint("dog", 1)
    assert len({first, second, third, fingerprint(recipe)}) == 4


def test_the_fingerprint_of_the_digits_needs_no_files(cache):
    assert fingerprint(recipe_for("digits")) == fingerprint(recipe_for("digits", image_size=32))
    assert not cache.exists()


def test_a_path_may_start_at_home(pets, stage, monkeypatch):
    monkeypatch.setenv("HOME", str(pets.parent))
    folder, _ = stage(recipe_for(f"~/{pets.name}"))
    assert read_index(folder).root == pets
