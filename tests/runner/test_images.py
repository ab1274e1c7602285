"""Which files a command works on."""

import numpy as np
import pytest
import tiny

from edgetl.data.folder import list_unsorted
from edgetl.runner.contract import load_image
from edgetl.runner.errors import RunnerError
from edgetl.runner.images import find_images, noise_jpegs

NAMES = ("b.png", "a/2.JPG", "a/1.webp", "a-1/x.bmp", "c/d/e.jpeg")


@pytest.fixture
def folder(tmp_path):
    for name in (*NAMES, "notes.txt", ".hidden.png", ".cache/x.png", "__MACOSX/y.png", "c/model.onnx"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "photos"


def test_a_folder_means_all_images_below_it_in_the_order_of_the_data_room(folder):
    found = [path.relative_to(folder).as_posix() for path in find_images([folder])]
    assert found == sorted(NAMES)
    assert found == [file.path for file in list_unsorted(folder).files]


def test_files_and_folders_keep_the_order_given_and_a_file_may_end_as_it_likes(folder):
    strange = folder / "notes.txt"
    assert find_images([folder / "c", strange, folder / "a"]) == [
        folder / "c/d/e.jpeg", strange, folder / "a/1.webp", folder / "a/2.JPG",
    ]  # fmt: skip


def test_links_are_followed_but_not_in_circles(folder, tmp_path):
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "photos").symlink_to(folder)
    (folder / "a" / "back").symlink_to(folder)
    assert len(find_images([tmp_path / "links"])) == len(NAMES)


def test_a_path_that_is_missing_is_named(tmp_path):
    with pytest.raises(RunnerError, match=r"gone: no such file or folder$"):
        find_images([tmp_path / "gone"])


def test_a_folder_without_images_is_refused(folder):
    (folder / "c" / "d" / "e.jpeg").unlink()
    with pytest.raises(RunnerError, match=r"photos/c: holds no images \(files that end in \.bmp, \.jpeg, \.jpg, "):
        find_images([folder / "a", folder / "c"])


def test_noise_is_of_the_size_of_the_input_and_can_be_made_again():
    images = [load_image(content) for content in noise_jpegs(tiny.CONTRACT)]
    assert all(content.startswith(b"\xff\xd8") for content in noise_jpegs(tiny.CONTRACT))
    assert {image.size for image in images} == {(tiny.CONTRACT.width, tiny.CONTRACT.height)}
    assert not np.array_equal(*images[:2])
    assert noise_jpegs(tiny.CONTRACT) == noise_jpegs(tiny.CONTRACT)
    assert noise_jpegs(tiny.CONTRACT, seed=1) != noise_jpegs(tiny.CONTRACT)
