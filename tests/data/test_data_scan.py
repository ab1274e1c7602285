"""What a scan finds in good folders."""

import shutil
from collections import Counter

import pytest

from edgetl.runs.files import sha256_of


def splits_of(index):
    return Counter(sample.split for sample in index.samples)


def test_an_unsplit_folder_is_divided_class_by_class(pets, open_folder):
    index = open_folder(pets)
    assert index.labels == ("cat", "dog")
    by_class = Counter((sample.label, sample.split) for sample in index.samples)
    assert by_class == {(0, "train"): 6, (0, "val"): 2, (0, "test"): 2, (1, "train"): 5, (1, "val"): 1, (1, "test"): 1}
    assert index.median_side == 5


def test_each_sample_has_the_hash_of_its_file_and_samples_are_sorted_by_path(pets, open_folder):
    index = open_folder(pets)
    assert [sample.path for sample in index.samples] == sorted(sample.path for sample in index.samples)
    assert all(sha256_of(index.file(sample)) == sample.sha256 for sample in index.samples)


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [("train", "val", "test"), ("training", "valid", "testing"), ("Train", "validation", "TEST")],
)
def test_given_splits_stay_as_they_are_however_they_are_spelled(paint, tmp_path, open_folder, train, val, test):
    for name, count in ((train, 4), (val, 1), (test, 2)):
        paint(f"{name}/cat", count)
        paint(f"{name}/dog", count)
    index = open_folder(tmp_path / "images")
    assert splits_of(index) == {"train": 8, "val": 2, "test": 4}
    assert all(sample.path.startswith(f"{train}/") for sample in index.split("train"))


def test_a_class_may_be_called_train(paint, tmp_path, open_folder):
    for vehicle in ("car", "plane", "train"):
        paint(vehicle, 3)
    assert open_folder(tmp_path / "images").labels == ("car", "plane", "train")


def test_images_in_deeper_folders_belong_to_the_class_above(paint, tmp_path, open_folder):
    paint("cat/2020/may", 3)
    paint("dog", 3)
    index = open_folder(tmp_path / "images")
    assert index.labels == ("cat", "dog")
    assert sum(sample.path.startswith("cat/2020/may/") and sample.label == 0 for sample in index.samples) == 3


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".png", ".PNG", ".webp", ".bmp", ".Bmp"])
def test_all_four_kinds_are_read_whatever_the_case_of_the_suffix(paint, tmp_path, open_folder, suffix):
    paint("cat", 3, suffix=suffix)
    paint("dog", 3, suffix=suffix)
    assert len(open_folder(tmp_path / "images").samples) == 6


def test_hidden_files_and_other_kinds_are_passed_over_and_reported(pets, open_folder, heard, paint):
    for name in (".DS_Store", "cat/.DS_Store", "cat/Thumbs.db", "cat/._0001.png", "cat/notes.txt", "dog/a.TIFF"):
        (pets / name).write_bytes(b"x")
    (pets / "__MACOSX").mkdir()
    paint(".thumbnails", 2)
    paint("", 1)
    assert len(open_folder(pets).samples) == 17
    assert heard.lines[:-1] == [
        "Left out: images outside of all class folders (1, such as 0019.png).",
        "Left out: files that are no JPEG, PNG, WebP or BMP (1 .txt, 1 .tiff)."
        " Convert photos among them to JPEG to use them.",
    ]


@pytest.mark.parametrize("seed", range(8))
def test_copies_are_never_in_two_splits(pets, open_folder, seed):
    for number, file in enumerate(sorted(pets.glob("*/*.png"))):
        for copy in range(number % 3):
            shutil.copy(file, file.with_name(f"{copy}-copy-of-{file.name}"))
    index = open_folder(pets, seed=seed)
    splits = {sample.sha256: set() for sample in index.samples}
    for sample in index.samples:
        splits[sample.sha256].add(sample.split)
    assert len(index.samples) > len(splits) == 17
    assert all(len(found) == 1 for found in splits.values())


def test_few_unreadable_files_are_named_and_left_out_when_the_recipe_allows_it(pets, open_folder, heard):
    (pets / "cat/bad.jpg").write_bytes(b"no image")
    (pets / "dog/empty.png").touch()
    index = open_folder(pets, max_unreadable=2)
    assert index.unreadable == {"cat/bad.jpg": "is no JPEG, PNG, WebP or BMP", "dog/empty.png": "is empty"}
    assert len(index.samples) == 17
    assert "Left out: dog/empty.png: is empty." in heard.lines


def test_links_inside_the_folder_are_followed_and_a_cycle_ends(pets, open_folder):
    (pets / "cat/again").symlink_to(pets / "cat")
    (pets / "dog/up").symlink_to("..")
    (pets / "dog/itself").symlink_to("itself")
    (pets / "cat/twin.png").symlink_to(next((pets / "cat").glob("*.png")))
    index = open_folder(pets)
    assert [sample.label for sample in index.samples].count(0) == 11
    assert [sample.label for sample in index.samples].count(1) == 7


def test_a_folder_reached_by_a_link_is_the_folder(pets, open_folder, tmp_path):
    (tmp_path / "link").symlink_to(pets)
    assert open_folder(tmp_path / "link") == open_folder(pets)
