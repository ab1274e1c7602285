"""The embedded data set."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgetl.data.digits import digits_folder, digits_place
from edgetl.data.scan import scan
from edgetl.errors import EnvironmentFault, MissingExtra
from edgetl.recipe.images import DataConfig
from edgetl.runner.contract import load_image
from edgetl.runs import installed
from edgetl.runs.reporter import Reporter


def content_hash(folder: Path) -> str:
    files = sorted(folder.glob("*/*"))
    text = "".join(f"{f.relative_to(folder)} {hashlib.sha256(f.read_bytes()).hexdigest()}\n" for f in files)
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_files_are_the_same_bytes_on_every_machine(digits):
    assert content_hash(digits) == "e909dad4607b689d386dd224ab53220010392c703c3a76517c2f77ff1f2ff9c0"


def test_the_pixels_are_scikit_learns(digits):
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    for index in (0, 17, 1796):
        pixels = np.asarray(load_image(digits / str(labels[index]) / f"{index:04d}.bmp"))
        np.testing.assert_array_equal(pixels, np.rint(values[index].reshape(8, 8, 1) / 16 * 255).repeat(3, axis=2))


def test_an_incomplete_set_is_made_again_and_nothing_lies_beside_it(digits, cache, monkeypatch):
    whole = content_hash(digits)
    shutil.copytree(digits, cache / digits.name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache.parent))
    (digits_folder() / "3" / "0003.bmp").unlink()
    (digits_folder() / "4" / "0004.bmp").write_bytes(b"BM")
    assert content_hash(digits_folder()) == whole
    assert [path.name for path in cache.iterdir()] == ["digits-v1"]


def test_a_complete_set_is_left_alone_and_needs_no_library(digits, monkeypatch):
    before = digits.stat().st_ino
    monkeypatch.setattr(installed, "installed_version", lambda _: None)
    assert digits_folder().stat().st_ino == before


def test_without_scikit_learn_the_message_names_the_extra(monkeypatch):
    real = installed.installed_version
    monkeypatch.setattr(installed, "installed_version", lambda name: None if name == "scikit-learn" else real(name))
    with pytest.raises(MissingExtra, match=r"scikit-learn is not installed. Run: pip install 'edgetl\[train\]'"):
        digits_folder()


def test_a_cache_that_cannot_be_written_is_named_with_the_cure(cache):
    cache.write_text("a file where the folder should be")
    with pytest.raises(EnvironmentFault, match=r"digits cannot be written .* Set XDG_CACHE_HOME") as caught:
        digits_folder()
    assert str(caught.value).startswith(str(digits_place()))


def test_the_set_is_divided_70_15_15_with_no_image_twice(digits):
    index, _ = scan(digits, DataConfig(), seed=0, reporter=Reporter())
    assert index.labels == tuple("0123456789")
    assert [len(index.split(name)) for name in ("train", "val", "test")] == [1259, 269, 269]
    assert len({sample.sha256 for sample in index.samples}) == 1797
    assert index.median_side == 8
