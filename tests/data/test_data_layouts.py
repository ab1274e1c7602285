"""Folders as people have them: nested, linked, with tables and photos of other kinds, with names that look alike."""

import os
import shutil
import unicodedata

import pytest

from edgetl.data.folder import described, list_images
from edgetl.data.index import ImageIndex
from edgetl.data.stage import fingerprint, stamps
from edgetl.errors import DataError
from edgetl.recipe.checking import build
from edgetl.recipe.fields import Recipe


def recipe_of(path):
    return build(Recipe, {"data": {"path": str(path)}}, "")


def test_folders_of_folders_are_asked_about_and_the_answer_is_taken(paint, open_folder, tmp_path):
    for folder in ("a/red", "a/blue", "b/red"):
        paint(folder, 4)
    images = tmp_path / "images"
    with pytest.raises(DataError) as caught:
        open_folder(images)
    message = str(caught.value)
    assert "no image lies directly in a, b, only in folders such as blue, red. Which are the classes?" in message
    assert "--set data.classes=first for a, b, --set data.classes=last for blue, red" in message
    assert open_folder(images, classes="first").labels == ("a", "b")
    assert open_folder(images, classes="last").labels == ("blue", "red")


def test_folders_in_some_class_folders_only_are_no_question(paint, open_folder, tmp_path):
    paint("cat", 4)
    paint("cat/more", 2)
    paint("dog/old", 4)
    assert open_folder(tmp_path / "images").labels == ("cat", "dog")


def test_a_class_folder_may_be_a_link(pets, open_folder, tmp_path):
    shutil.move(pets / "cat", tmp_path / "elsewhere")
    (pets / "cat").symlink_to(tmp_path / "elsewhere")
    index = open_folder(pets)
    assert index.labels == ("cat", "dog")
    assert all(index.file(sample).is_file() for sample in index.samples)
    assert ImageIndex.from_dict(index.to_dict(tmp_path), tmp_path) == index


def test_a_split_folder_may_be_a_link(paint, open_folder, tmp_path):
    for folder in ("train/cat", "train/dog", "test/cat", "test/dog"):
        paint(folder, 4)
    shutil.move(tmp_path / "images/train", tmp_path / "elsewhere")
    (tmp_path / "images/train").symlink_to("../elsewhere")
    index = open_folder(tmp_path / "images")
    assert all(index.file(sample).is_file() for sample in index.samples)


def test_a_class_folder_that_is_a_link_to_what_it_lies_in_is_refused(pets, open_folder, tmp_path):
    (pets / "all").symlink_to(tmp_path)
    with pytest.raises(DataError, match=r"all: is a link to .*, which it lies in\. Remove the link"):
        open_folder(pets)


def test_a_class_folder_of_another_file_system_is_refused(pets, open_folder):
    (pets / "all").symlink_to("/proc/self/fd")
    with pytest.raises(DataError, match="is a link to another file system"):
        open_folder(pets)


@pytest.mark.parametrize(
    "names",
    [("Cat", "cat"), (" cat", "cat"), ("caf\u00e9", unicodedata.normalize("NFD", "caf\u00e9"))],
    ids=["case", "blank", "accent"],
)
def test_classes_whose_names_look_alike_are_refused(names, paint, open_folder, tmp_path):
    for name in (*names, "dog"):
        paint(name, 4)
    with pytest.raises(DataError, match="differ only in case, blanks or how letters are stored"):
        open_folder(tmp_path / "images")


def test_tables_and_photos_of_other_kinds_are_named_with_the_cure(pets, open_folder, heard):
    (pets / "labels.csv").write_text("file,label\n")
    (pets / "cat/IMG_1.HEIC").write_bytes(b"x")
    open_folder(pets)
    assert heard.lines[:-1] == [
        "Left out: files that are no JPEG, PNG, WebP or BMP (1 .heic). Convert photos among them to JPEG to use them.",
        "Not read: labels.csv. The folder of an image is its class.",
    ]


def test_images_beside_a_table_are_refused_with_its_name(paint, open_folder):
    folder = paint("", 3)
    (folder / "labels.csv").touch()
    with pytest.raises(
        DataError, match=r"no class folders \(3 images lie directly in it; labels\.csv cannot be read\)"
    ):
        open_folder(folder)


def test_a_folder_is_described_before_it_is_opened(paint, tmp_path):
    for folder, count in (("train/cat", 3), ("train/dog", 5), ("val/cat", 1), ("val/dog", 1)):
        paint(folder, count)
    told = described(list_images(tmp_path / "images"))
    assert told == "Images: 10 files in 2 classes, 4 to 6 of each (8 images in train/, 2 images in val/)."


def test_without_a_test_folder_the_other_judges_and_that_is_said(paint, open_folder, heard, tmp_path):
    for folder in ("train/cat", "train/dog", "val/cat", "val/dog"):
        paint(folder, 8)
    open_folder(tmp_path / "images")
    assert heard.lines[-1].startswith("Split: there is no test/, so val/ (16 images) is the test split;")


def test_a_file_that_was_replaced_with_its_time_kept_is_noticed(pets):
    recipe, file = recipe_of(pets), pets / "cat/0000.png"
    before, seen, status = stamps(recipe), fingerprint(recipe), file.stat()
    content = bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert fingerprint(recipe) == seen
    assert stamps(recipe) != before


def test_folders_that_lie_deep_in_each_other_end_in_one_line(pets, open_folder):
    deep = pets / "cat"
    for _ in range(60):
        deep /= "d"
    deep.mkdir(parents=True)
    with pytest.raises(DataError, match="folders lie more than 50 deep in each other"):
        open_folder(pets)
