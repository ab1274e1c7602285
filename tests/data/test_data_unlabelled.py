"""Unlabelled images: found wherever they lie, and never those that the student is judged by."""

import shutil

import pytest
from heard import Heard

from edgetl.data.index import UNLABELLED, ImageIndex
from edgetl.data.unlabelled import scan_unlabelled
from edgetl.errors import DataError
from edgetl.runs.reporter import Reporter


@pytest.fixture
def index(pets, open_folder):
    return open_folder(pets)


@pytest.fixture
def heap(paint, tmp_path):
    """Five images in a folder and one below."""
    paint("heap", 5, size=(11, 9))
    paint("heap/deeper", 2, size=(9, 11), suffix=".jpg")
    return shutil.move(tmp_path / "images" / "heap", tmp_path / "heap")


def find(path, index, reporter=None):
    return scan_unlabelled(path, index, max_unreadable=0, reporter=reporter or Reporter())


def test_every_image_below_the_folder_is_found(heap, index):
    found = find(heap, index)
    assert len(found) == 7
    assert {(sample.label, sample.split) for sample in found} == {(UNLABELLED, "unlabelled")}
    assert all(index.file(sample).is_file() for sample in found)


def test_the_index_keeps_them_apart(heap, index):
    whole = ImageIndex(index.root, index.labels, (*index.samples, *find(heap, index)), {}, index.median_side)
    again = ImageIndex.from_dict(whole.to_dict(heap), heap)
    assert len(again.split("unlabelled")) == 7
    assert again.split("train") == index.split("train")


@pytest.mark.parametrize("split", ["test", "val"])
def test_images_of_the_test_and_validation_splits_are_refused_by_name(split, heap, index):
    judged = index.file(index.split(split)[0])
    shutil.copy(judged, heap / "deeper" / "copy.png")
    with pytest.raises(DataError) as caught:
        find(heap, index)
    assert f"{heap}: 1 of its images are in the {split} split (deeper/copy.png)" in str(caught.value)


def test_copies_and_training_images_are_left_out_and_said(heap, index):
    shutil.copy(heap / "0000.png", heap / "again.png")
    shutil.copy(index.file(index.split("train")[0]), heap / "known.png")
    heard = Heard()
    assert len(find(heap, index, heard)) == 7
    assert "Left out of the unlabelled images: 2 that are copies of others or of training images." in heard.lines


def test_a_folder_without_images_is_refused(tmp_path, index):
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match="nothing: no images in it or below"):
        find(tmp_path / "nothing", index)
    with pytest.raises(DataError, match=r"nowhere: no such folder. Give a folder that has images"):
        find(tmp_path / "nowhere", index)


def test_the_training_images_alone_are_refused(tmp_path, index):
    (tmp_path / "same").mkdir()
    shutil.copy(index.file(index.split("train")[0]), tmp_path / "same")
    with pytest.raises(DataError, match="every image in it is a training image already"):
        find(tmp_path / "same", index)


def test_an_unreadable_image_is_named(heap, index):
    (heap / "broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"1 unreadable image, 0 allowed \(broken.png: "):
        find(heap, index)
