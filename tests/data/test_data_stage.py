"""The data stage."""

import os

import pytest

from edgetl.artifact import RunFolder
from edgetl.config import Recipe
from edgetl.data.index import read_index
from edgetl.data.sizing import Preprocessing
from edgetl.data.stage import fingerprint, run
from edgetl.errors import ConfigError, DataError, RunFolderError
from edgetl.reporter import Reporter
from edgetl.runner.contract import Contract
from edgetl.stage import StageContext
from edgetl.targets import find_target

NETWORK = Preprocessing((0.5, 0.5, 0.5), (0.25, 0.25, 0.25), 224, False)


def recipe_for(path, **data):
    return Recipe.model_validate({"data": {"path": str(path), **data}})


@pytest.fixture
def stage(tmp_path):
    """Run the stage and keep what it made, as the pipeline does."""

    def run_it(recipe, name="run", teacher=None):
        folder = RunFolder.prepare(tmp_path / name)
        with folder.writing("data") as out:
            target = find_target("linux-x86")
            context = StageContext(recipe, target, folder, out, Reporter(), "hash", teacher=teacher)
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


def test_the_word_digits_is_the_embedded_set_even_beside_such_a_folder(pets, stage, monkeypatch, cache):
    pets.rename(pets.with_name("digits"))
    monkeypatch.chdir(pets.parent)
    folder, _ = stage(recipe_for("digits"))
    assert read_index(folder).root == cache / "digits-v1"
    folder, _ = stage(recipe_for("./digits"), name="another")
    assert read_index(folder).labels == ("cat", "dog")


def test_with_a_teacher_the_contract_is_the_teachers(pets, stage):
    teacher, _ = stage(recipe_for(pets, image_size=64, resize="squash"), name="teacher")
    student, _ = stage(recipe_for(pets), teacher=teacher)
    assert student.manifest["contract"] == teacher.manifest["contract"]


def test_a_teacher_that_was_trained_on_this_runs_test_images_is_refused(pets, stage):
    teacher, _ = stage(recipe_for(pets), name="teacher")
    other = recipe_for(pets).model_copy(update={"seed": 1})
    with pytest.raises(DataError, match=r"the teacher was trained on \d of this run's test images \(\w+/.*--seed 0"):
        stage(other, teacher=teacher)


def test_a_teacher_of_other_classes_is_refused_by_name(pets, stage, paint):
    teacher, _ = stage(recipe_for(pets), name="teacher")
    (pets / "cat").rename(pets / "wolf")
    paint("bird", 3)
    with pytest.raises(DataError) as caught:
        stage(recipe_for(pets), teacher=teacher)
    assert str(caught.value) == (
        f"{pets}: the teacher was trained on classes [cat, dog] (2); the data has [bird, wolf, dog] (3). "
        "Give the teacher's classes, or another teacher"
    )


def test_a_teacher_of_another_size_is_refused(pets, stage):
    teacher, _ = stage(recipe_for(pets, image_size=64), name="teacher")
    with pytest.raises(ConfigError, match=r"data\.image_size: is 32, but the teacher was trained at 64\. Leave it out"):
        stage(recipe_for(pets, image_size=32), teacher=teacher)


def test_a_teacher_without_a_contract_is_refused(pets, stage, tmp_path):
    with pytest.raises(RunFolderError, match="empty: has no contract"):
        stage(recipe_for(pets), teacher=RunFolder.prepare(tmp_path / "empty"))


def test_a_teacher_of_a_newer_edgetl_is_refused(pets, stage):
    teacher, _ = stage(recipe_for(pets), name="teacher")
    teacher.manifest["contract"]["schema_version"] = 99
    with pytest.raises(RunFolderError, match=r"manifest\.json: contract schema 99 is newer than 1"):
        stage(recipe_for(pets), teacher=teacher)


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
