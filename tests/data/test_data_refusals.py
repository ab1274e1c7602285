"""Folders that cannot be used, and what the user is told."""

import os
import shutil

import pytest
from PIL import Image

from edgetl.errors import DataError


@pytest.fixture
def refusal(open_folder):
    """Scan a folder that must be refused, and give the message without the folder's own path."""

    def told(path, **options):
        with pytest.raises(DataError) as caught:
            open_folder(path, **options)
        message = str(caught.value)
        assert message.startswith(str(path))
        assert "\n" not in message
        assert caught.value.exit_code == 2
        return message.replace(f"{path}", "ROOT")

    return told


def test_no_such_folder(refusal, tmp_path):
    cure = "Give a folder that has one folder of images per class, or 'digits'"
    assert refusal(tmp_path / "nowhere") == f"ROOT: no such folder. {cure}"
    (tmp_path / "file.zip").touch()
    assert refusal(tmp_path / "file.zip") == f"ROOT: is a file, not a folder. {cure}"


def test_no_class_folders(refusal, paint):
    folder = paint("", 3)
    cure = "Put the images of each class in a folder of its name"
    assert refusal(folder) == f"ROOT: no class folders (3 images lie directly in it). {cure}"


def test_no_images(refusal, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert "ROOT: no images in its folders (found: nothing)." in refusal(tmp_path)
    (tmp_path / "b/scan.tif").touch()
    assert refusal(tmp_path) == ("ROOT: no images in its folders (found: 1 .tif). Give JPEG, PNG, WebP or BMP files")


def test_an_empty_class_folder(refusal, pets):
    (pets / "bird").mkdir()
    assert refusal(pets) == "ROOT/bird: holds no images. Fill the class folder, or remove it"


def test_one_class(refusal, paint, tmp_path):
    paint("cat", 5)
    message = refusal(tmp_path / "images")
    assert message.startswith("ROOT: only one class ('cat'); a classifier needs at least two. Add a folder")


def test_one_level_too_high(refusal, paint, tmp_path):
    paint("images/cat", 5)
    paint("images/dog", 5)
    assert refusal(tmp_path / "images").endswith("Did you mean ROOT/images?")


def test_a_class_too_small_to_split(refusal, pets, paint):
    file = next(paint("bird", 1).iterdir())
    for copy in range(4):
        shutil.copy(file, file.with_name(f"copy{copy}.png"))
    assert refusal(pets) == (
        "ROOT: class 'bird' has 1 distinct readable image, but needs at least 3, one for each split made of them. "
        "Add images, remove the class, or bring folders train/, val/ and test/ of your own"
    )


def test_a_train_folder_too_small_to_divide(refusal, paint, tmp_path):
    for folder, count in (("train/cat", 4), ("train/dog", 1), ("val/cat", 1), ("val/dog", 1)):
        paint(folder, count)
    assert "class 'dog' has 1 distinct readable image, but needs at least 2" in refusal(tmp_path / "images")


def test_a_class_that_train_lacks(refusal, paint, tmp_path):
    for folder in ("train/cat", "train/dog", "test/cat", "test/bird"):
        paint(folder, 3)
    assert refusal(tmp_path / "images") == (
        "ROOT: class 'bird' is in test, but train has no image of it. Add some to train, or remove the class from test"
    )


def test_two_labels_for_one_image(refusal, pets):
    file = sorted((pets / "cat").iterdir())[0]
    shutil.copy(file, pets / "dog/zz.png")
    assert refusal(pets) == (
        "ROOT: label conflict: cat/0000.png and dog/zz.png are the same image under 'cat' and 'dog' (1 such pair). "
        "Keep each under one label"
    )


def test_one_image_in_two_given_splits(refusal, paint, tmp_path):
    for split in ("train", "val", "test"):
        paint(f"{split}/cat", 3)
        paint(f"{split}/dog", 3)
    file = sorted((tmp_path / "images/train/cat").iterdir())[0]
    shutil.copy(file, tmp_path / "images/test/cat/zz.png")
    message = refusal(tmp_path / "images")
    assert message.startswith("ROOT: leakage between splits: test/cat/zz.png and train/cat/0000.png are the same image")
    assert "in test and train (1 such pair). Remove one of each" in message


def test_more_unreadable_files_than_allowed(refusal, pets):
    whole = pets / "cat/whole.jpg"
    Image.effect_noise((64, 64), 60).convert("RGB").save(whole)
    (pets / "cat/cut.jpg").write_bytes(whole.read_bytes()[:-400])
    message = refusal(pets)
    assert message.startswith("ROOT: 1 unreadable image, 0 allowed (cat/cut.jpg: image file is truncated")
    assert message.endswith("Repair or remove them, or leave them out with data.max_unreadable=1")
    for number in range(5):
        (pets / f"dog/b{number}.bmp").touch()
    assert "6 unreadable images, 1 allowed" in refusal(pets, max_unreadable=1)
    assert "dog/b1.bmp: is empty; ...)" in refusal(pets, max_unreadable=1)


def test_a_class_whose_images_are_all_unreadable(refusal, pets):
    (pets / "bird").mkdir()
    (pets / "bird/a.png").touch()
    assert "class 'bird' has 0 distinct readable images" in refusal(pets, max_unreadable=1)


def test_a_given_split_whose_images_are_all_unreadable(refusal, paint, tmp_path):
    paint("train/cat", 3)
    paint("train/dog", 3)
    (tmp_path / "images/val/cat").mkdir(parents=True)
    (tmp_path / "images/val/cat/a.png").touch()
    assert "no readable image in the val split" in refusal(tmp_path / "images", max_unreadable=1)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_link_out_of_the_folder(refusal, pets, tmp_path, kind):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.png").touch()
    link = pets / "cat" / "link"
    link.symlink_to(outside if kind == "folder" else outside / "a.png")
    message = refusal(pets)
    assert message == "ROOT/cat/link: is a link out of ROOT. Copy its target here, or remove the link"


def test_what_is_no_file_is_unreadable_and_does_not_hang(refusal, pets):
    os.mkfifo(pets / "cat/pipe.png")
    (pets / "dog/gone.png").symlink_to("deleted.png")
    message = refusal(pets)
    assert "cat/pipe.png: is no regular file; dog/gone.png: is a link to nothing" in message


def test_folders_that_may_or_may_not_be_splits(refusal, paint, tmp_path):
    paint("test/cat")
    paint("val/cat")
    assert refusal(tmp_path / "images") == "ROOT: has test and val, but no train folder. Add one"
    paint("train/cat")
    paint("valid/cat")
    assert refusal(tmp_path / "images") == "ROOT: both val/ and valid/ name the val split. Keep one"
    shutil.rmtree(tmp_path / "images/valid")
    paint("extra")
    assert refusal(tmp_path / "images").startswith("ROOT/extra: holds images beside train/, but is no split.")
    shutil.rmtree(tmp_path / "images/extra")
    shutil.rmtree(tmp_path / "images/test")
    paint("test")
    assert refusal(tmp_path / "images").startswith("ROOT/test: holds images, but no class folders.")


def test_a_class_name_that_no_list_of_lines_can_hold(refusal, pets, paint):
    paint("two\nlines", 3)
    assert refusal(pets) == r"ROOT: class folder 'two\nlines' has unprintable characters. Rename it"
