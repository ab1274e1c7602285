"""Which image is in which split: what is given, what is divided off, and what is said about it."""

import shutil
from collections import Counter

import pytest
import small_run

from edgetl.data.division import validation_origin
from edgetl.data.scan import scan
from edgetl.errors import DataError, RunFolderError
from edgetl.recipe.images import DataConfig


@pytest.fixture
def folder(paint, tmp_path):
    """Make a folder of cats and dogs: `folder(train=20, val=2)`, images of each class by split."""

    def make(**counts):
        for split, count in counts.items():
            paint(f"{split}/cat", count)
            paint(f"{split}/dog", count)
        return tmp_path / "images"

    return make


@pytest.fixture
def divided(heard):
    """Scan a folder: its index, where validation comes from, and the line about the splits."""

    def divide_it(path, **options):
        index, origin = scan(path, DataConfig.model_validate(options), seed=0, reporter=heard)
        (line,) = [line for line in heard.lines if line.startswith("Split: ")]
        return index, origin, line

    return divide_it


def sizes_of(index):
    return Counter(sample.split for sample in index.samples)


def folders_of(index, split):
    return {sample.path.split("/")[0] for sample in index.split(split)}


def test_a_val_folder_without_test_beside_it_judges_and_validation_comes_out_of_train(folder, divided):
    index, origin, line = divided(folder(train=20, val=2))
    assert sizes_of(index) == {"train": 34, "val": 6, "test": 4}
    assert folders_of(index, "test") == {"val"}
    assert folders_of(index, "val") == folders_of(index, "train") == {"train"}
    assert origin == "taken from train"
    judged = "there is no test/, so val/ (4 images) is the test split"
    assert line == f"Split: {judged}; 6 of the 40 images of train/ are the validation split."


def test_a_test_folder_without_val_judges_and_validation_comes_out_of_train(folder, divided):
    index, origin, line = divided(folder(training=20, TEST=2), val_fraction=0.1)
    assert sizes_of(index) == {"train": 36, "val": 4, "test": 4}
    assert folders_of(index, "test") == {"TEST"}
    assert origin == "taken from train"
    assert (
        line == "Split: TEST/ (4 images) is the test split; 4 of the 40 images of training/ are the validation split."
    )


def test_three_given_splits_stay_as_they_are(folder, divided):
    index, origin, line = divided(folder(train=4, val=1, test=2))
    assert all(folders_of(index, split) == {split} for split in ("train", "val", "test"))
    assert origin == "given"
    assert line == "Split: train/ (8 images), val/ (2 images) and test/ (4 images) are taken as they are."


def test_a_train_folder_alone_gives_up_both_other_splits(folder, divided):
    index, origin, line = divided(folder(train=20), test_fraction=0.1)
    assert sizes_of(index) == {"train": 30, "val": 6, "test": 4}
    assert origin == "taken from train"
    assert line == "Split: of the 40 images of train/, 6 are the validation split and 4 the test split."


def test_an_unsplit_folder_is_divided_into_three(pets, divided):
    index, origin, line = divided(pets)
    assert sizes_of(index) == {"train": 11, "val": 3, "test": 3}
    assert origin == "taken from train"
    assert line == "Split: of the 17 images, 3 are the validation split and 3 the test split."


@pytest.mark.parametrize("empty", ["", "cat", "cat/deeper"])
@pytest.mark.parametrize(("gone", "judge"), [("test", "val"), ("val", "test")])
def test_an_empty_folder_counts_as_missing(folder, divided, gone, judge, empty):
    root = folder(**{"train": 20, judge: 2})
    (root / gone / empty).mkdir(parents=True)
    index, origin, line = divided(root)
    assert folders_of(index, "test") == {judge}
    assert (origin, len(index.split("val"))) == ("taken from train", 6)
    assert f"{judge}/ (4 images) is the test split; " in line
    assert ("there is no test/" in line) == (judge == "val")


def test_copies_inside_train_share_a_split_and_a_copy_in_val_is_refused(folder, divided):
    root = folder(train=20, val=2)
    for file in sorted((root / "train").glob("*/*.png")):
        shutil.copy(file, file.with_name(f"copy-of-{file.name}"))
    index, _, _ = divided(root)
    splits = {sample.sha256: set() for sample in index.samples}
    for sample in index.samples:
        splits[sample.sha256].add(sample.split)
    assert all(len(found) == 1 for found in splits.values())
    shutil.copy(sorted((root / "train/cat").iterdir())[0], root / "val/cat/zz.png")
    with pytest.raises(DataError, match=r"leakage .*val/cat/zz\.png are the same image in train and val"):
        divided(root)


def test_a_class_that_the_test_split_lacks_is_named(folder, divided, paint):
    root = folder(train=4, val=2)
    paint("train/bird", 4)
    paint("train/eel", 4)
    _, _, line = divided(root)
    assert line.endswith(" No test image is of class 'bird' and 1 more, so no accuracy counts it.")


def test_a_class_of_val_that_train_lacks_is_refused_by_its_folder(folder, divided, paint):
    root = folder(train=4, val=2)
    paint("val/bird", 2)
    with pytest.raises(DataError, match="class 'bird' is in val, but train has no image of it"):
        divided(root)


def test_a_run_remembers_where_its_validation_images_come_from(tmp_path):
    run = small_run.run_of(tmp_path, {"data": {"validation": "given"}})
    assert validation_origin(run) == "given"


@pytest.mark.parametrize("record", [{}, {"data": {}}, {"data": {"validation": "somewhere"}}])
def test_a_run_that_does_not_say_where_they_come_from_is_refused_with_the_cure(tmp_path, record):
    run = small_run.run_of(tmp_path, record)
    with pytest.raises(RunFolderError, match=r"does not say where its validation images come from\. Run again with"):
        validation_origin(run)
