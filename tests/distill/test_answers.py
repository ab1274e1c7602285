"""The teacher's answers: each belongs to one view of one image, is given once, and is read by every student."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_run
import torch
from heard import Heard

from edgetl.data.dataset import Batch
from edgetl.data.grid import ViewGrid
from edgetl.data.index import read_index
from edgetl.data.views import Views, view
from edgetl.distill.answers import Answers, answer_stores, write_answers
from edgetl.distill.space import check_space
from edgetl.distill.teacher import load_teacher
from edgetl.errors import RunFolderError
from edgetl.runner.contract import load_image
from edgetl.runs.folder import RunFolder
from edgetl.runs.processes import Processes
from edgetl.train.recording import pixel_store

VIEWS = 2


class Asked:
    """A teacher that is asked about a part of the digits."""

    def __init__(self, teacher, place, *, count=VIEWS, step=9, seed=0, mixup=0.0, width=0, pixels=False, **distill):
        settings = small_run.recipe(distill={"teacher_precision": "fp32", "cache": str(place / "cache")} | distill)
        self.context = small_run.context(RunFolder(place, teacher.manifest), place, settings)
        whole = read_index(teacher)
        self.samples = whole.split("train")[::step]
        views = Views(self.context.contract, settings.augment, seed, mixup)
        self.grid = ViewGrid(whole, self.samples, views, count)
        self.teacher = load_teacher(teacher, whole.labels, {})
        self.stores = answer_stores(self.teacher, self.grid, self.context, precision="fp32", feature_width=width)
        self.pixels = pixel_store(self.grid, place / "pixels") if pixels else None

    def ask(self):
        write_answers(self.grid, [self.teacher], [self.stores], self.pixels, self.context)
        return self.stores.logits.read()

    def picture(self, number, position):
        image, views = load_image(self.grid.index.file(self.samples[position])), self.grid.views
        return view(image, views.contract, views.augment, seed=views.seed, view=number, sample=position)

    def say(self, pixels_HWC):
        with torch.inference_mode():
            return self.teacher.classifier(torch.from_numpy(pixels_HWC)[None])[0].numpy()


@pytest.fixture(scope="session")
def given(teacher, tmp_path_factory):
    """A cache of all answers, to copy."""
    place = tmp_path_factory.mktemp("given")
    with small_run.user_cache(tmp_path_factory.getbasetemp()):
        Asked(teacher, place).ask()
    return place / "cache"


@pytest.fixture
def cache(given, tmp_path):
    """The answers, in a folder of the test's own."""
    return Path(shutil.copytree(given, tmp_path / "cache"))


def places(count):
    """Around the first piece's end, and the last image of all."""
    return [(number, position) for number in range(VIEWS) for position in (0, 1, 63, 64, count - 1)]


def batch_of(positions, number):
    nothing = torch.zeros(len(positions), dtype=torch.int64)
    images_NHWC = torch.zeros((len(positions), 16, 16, 3), dtype=torch.uint8)
    return Batch(images_NHWC, nothing, torch.tensor(positions), number, 0, nothing, nothing.float())


def test_an_answer_is_what_the_teacher_says_of_exactly_that_view(teacher, tmp_path):
    asked = Asked(teacher, tmp_path)
    answers_VNK = asked.ask()
    assert (answers_VNK.shape, answers_VNK.dtype) == ((VIEWS, len(asked.samples), 10), np.float16)
    for number, position in places(len(asked.samples)):
        expected_K = asked.say(asked.picture(number, position))
        np.testing.assert_allclose(answers_VNK[number, position], expected_K, rtol=2e-3, atol=2e-3)
    assert np.abs(answers_VNK[0].astype(float) - answers_VNK[1]).max() > 0.1, "views differ"


def test_stored_pixels_are_the_views(teacher, tmp_path):
    asked = Asked(teacher, tmp_path, pixels=True)
    asked.ask()
    pixels_VNHWC = asked.pixels.read()
    for number, position in places(len(asked.samples)):
        np.testing.assert_array_equal(pixels_VNHWC[number, position], asked.picture(number, position))


def width_of(teacher):
    return load_teacher(teacher, read_index(teacher).labels, {}).classifier.net.get_classifier().in_features


def test_features_are_what_goes_into_the_last_layer(teacher, tmp_path):
    asked = Asked(teacher, tmp_path, width=width_of(teacher))
    logits_VNK = asked.ask()
    features_ND = Answers([asked.stores], 10).features(batch_of([5, 70], 1))
    with torch.inference_mode():
        again_NK = asked.teacher.classifier.net.get_classifier()(features_ND).numpy()
    np.testing.assert_allclose(again_NK, logits_VNK[1, [5, 70]], rtol=0.02, atol=0.02)


@pytest.mark.parametrize("top_k", [1, 4])
def test_sparse_answers_keep_the_best_classes_and_the_mass_of_the_rest(teacher, tmp_path, top_k):
    whole, sparse = Asked(teacher, tmp_path / "whole"), Asked(teacher, tmp_path / "sparse", top_k=top_k)
    expected_VNK = torch.softmax(torch.from_numpy(whole.ask().astype(np.float64)), -1).numpy()
    sparse.ask()
    assert sparse.stores.logits.size_bytes == VIEWS * len(sparse.samples) * 2 * (2 * top_k + 1)
    positions = list(range(0, 130, 7))
    found_NK = torch.softmax(Answers([sparse.stores], 10).logits(batch_of(positions, 1)).double(), -1).numpy()
    for found_K, expected_K in zip(found_NK, expected_VNK[1, positions], strict=True):
        best = np.argsort(expected_K)[::-1]
        np.testing.assert_allclose(found_K[best[:top_k]], expected_K[best[:top_k]], rtol=0.02, atol=1e-3)
        rest = expected_K[best[top_k:]].sum() / (10 - top_k)
        np.testing.assert_allclose(found_K[best[top_k:]], rest, rtol=0.03, atol=1e-3)


def ask_one_by_one(asked):
    """Two processes, of which the first one is through when the second one comes."""
    told = []

    class OneByOne(Processes):
        def agree(self, value):
            told.extend([value] if self.first else [])
            return told[0]

        def wait(self):
            pass

    for rank in (0, 1):
        asked.context = replace(asked.context, processes=OneByOne(rank, 2))
        asked.ask()


def test_a_process_that_comes_late_leaves_no_piece_to_nobody(teacher, tmp_path):
    """It answers its share of what was missing at the start, not of what the fast one has left."""
    asked = Asked(teacher, tmp_path)
    ask_one_by_one(asked)
    assert asked.stores.logits.finished() == set(asked.grid.pieces())


def test_several_processes_divide_the_new_views(teacher, tmp_path):
    ask_one_by_one(Asked(teacher, tmp_path, count=1))
    more = Asked(teacher, tmp_path, count=3)
    ask_one_by_one(more)
    assert more.stores.logits.finished() == set(more.grid.pieces())
    lines = [(tmp_path / "cache" / f"logits.{rank}.log").read_text().splitlines() for rank in (0, 1)]
    assert sorted(len(each) for each in lines) == [4, 5], "nine pieces, each once"
    np.testing.assert_array_equal(more.stores.logits.read(), Asked(teacher, tmp_path / "straight", count=3).ask())


def test_many_classes_are_kept_sparse_by_themselves(teacher, tmp_path):
    asked = Asked(teacher, tmp_path)
    many = replace(asked.teacher, columns=tuple(range(10)) * 10)
    stores = answer_stores(many, asked.grid, asked.context, precision="fp32", feature_width=0)
    assert (stores.is_sparse, stores.logits.shape[-1], asked.stores.is_sparse) == (True, 33, False)


def count_answers(asked, monkeypatch):
    """How many images the teacher is asked about."""
    seen = []
    own = type(asked.teacher).logits
    monkeypatch.setattr(
        type(asked.teacher), "logits", lambda self, images: seen.append(len(images)) or own(self, images)
    )
    answers_VNK = np.array(asked.ask())
    monkeypatch.undo()
    return sum(seen), answers_VNK


def test_answers_are_given_once(teacher, tmp_path, monkeypatch):
    count, answers_VNK = count_answers(Asked(teacher, tmp_path), monkeypatch)
    assert count == VIEWS * 140
    again, same_VNK = count_answers(Asked(teacher, tmp_path), monkeypatch)
    assert again == 0
    np.testing.assert_array_equal(same_VNK, answers_VNK)


def test_a_student_of_fewer_views_asks_nothing_and_reads_the_first_ones(teacher, tmp_path, monkeypatch):
    more, fewer = (Asked(teacher, tmp_path, count=count, pixels=True) for count in (3, 2))
    answers_VNK = np.array(more.ask())
    count, fewer_VNK = count_answers(fewer, monkeypatch)
    assert count == 0
    np.testing.assert_array_equal(fewer_VNK, answers_VNK[:2])
    np.testing.assert_array_equal(fewer.pixels.read(), more.pixels.read()[:2])
    again, _ = count_answers(Asked(teacher, tmp_path, count=3, pixels=True), monkeypatch)
    assert again == 0, "the third view is still there"


def test_a_student_of_more_views_asks_only_the_new_ones(teacher, tmp_path, monkeypatch):
    everything = {"pixels": True, "width": width_of(teacher)}
    fewer, more = (Asked(teacher, tmp_path, count=count, **everything) for count in (1, 3))
    first_VNK, pixels_VNHWC = np.array(fewer.ask()), np.array(fewer.pixels.read())
    count, answers_VNK = count_answers(more, monkeypatch)
    assert count == 2 * 140
    np.testing.assert_array_equal(answers_VNK[:1], first_VNK)
    np.testing.assert_array_equal(more.pixels.read()[:1], pixels_VNHWC)
    straight = Asked(teacher, tmp_path / "straight", count=3, **everything)
    np.testing.assert_array_equal(answers_VNK, straight.ask())
    np.testing.assert_array_equal(more.pixels.read(), straight.pixels.read())
    np.testing.assert_array_equal(more.stores.features.read(), straight.stores.features.read())


def test_the_size_is_said_with_the_part_that_is_there(teacher, tmp_path):
    Asked(teacher, tmp_path, count=1).ask()
    heard, more = Heard(), Asked(teacher, tmp_path, count=3)
    check_space([more.stores], None, more.grid, 3, heard)
    assert heard.lines[1] == f"Teacher's answers (logits): 8.4 kB in {tmp_path / 'cache'}, 2.8 kB of it there already."


def tear_numbers(folder):
    with (folder / "logits.bin").open("r+b") as file:
        file.seek(100)
        file.write(bytes(8))


def tear_log(folder):
    lines = (folder / "logits.0.log").read_text().splitlines()
    (folder / "logits.0.log").write_text("\n".join([*lines[1:-1], lines[-1][:30]]))


DAMAGE = {
    "numbers overwritten": (tear_numbers, 64),
    "a line lost and one torn": (tear_log, 64 + 140 - 128),
    "numbers cut off": (lambda folder: os.truncate(folder / "logits.bin", 500), VIEWS * 140),
    "note torn": (lambda folder: os.truncate(folder / "logits.json", 20), VIEWS * 140),
    "log gone": (lambda folder: (folder / "logits.0.log").unlink(), VIEWS * 140),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_only_torn_answers_are_given_again(damage, teacher, cache, tmp_path, monkeypatch):
    answers_VNK = np.array(Asked(teacher, tmp_path).stores.logits.read())
    tear, lost = DAMAGE[damage]
    tear(cache)
    count, again_VNK = count_answers(Asked(teacher, tmp_path), monkeypatch)
    assert count == lost
    np.testing.assert_array_equal(again_VNK, answers_VNK)


OTHERS = {
    "other images": ({"step": 10}, "to other images"),
    "other views": ({"seed": 1}, "to other views of the images"),
    "mixed views": ({"mixup": 0.2}, "to other views of the images"),
    "another length": ({"top_k": 3}, "of another length"),
}


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("other", OTHERS)
def test_a_named_cache_of_something_else_is_refused(other, teacher, tmp_path):
    options, what = OTHERS[other]
    with pytest.raises(RunFolderError, match=rf"cache: holds answers {what} .*--set distill\.cache="):
        Asked(teacher, tmp_path, **options)


@pytest.mark.usefixtures("cache")
def test_a_named_cache_of_another_teacher_is_refused(teacher, tmp_path):
    asked = Asked(teacher, tmp_path)
    entry = teacher.manifest["files"]["model.safetensors"] | {"sha256": "0" * 64}
    files = teacher.manifest["files"] | {"model.safetensors": entry}
    impostor = replace(asked.teacher, run=RunFolder(teacher.path, teacher.manifest | {"files": files}))
    with pytest.raises(RunFolderError, match=r"holds answers of another teacher \(teacher \w{12}, here 000000000000\)"):
        answer_stores(impostor, asked.grid, asked.context, precision="fp32", feature_width=0)


def test_students_with_another_normalisation_share_the_answers(teacher, tmp_path):
    asked = Asked(teacher, tmp_path)
    contract = replace(asked.grid.views.contract, mean=(0.1, 0.1, 0.1))
    other = replace(asked.grid, views=replace(asked.grid.views, contract=contract))
    assert other.about() == asked.grid.about()
    larger = replace(contract, height=32)
    assert replace(other, views=replace(other.views, contract=larger)).about() != other.about()


def test_the_store_says_what_it_holds(teacher, given):
    stated = json.loads((given / "logits.json").read_text())
    assert stated["about"]["teacher"] == teacher.manifest["files"]["model.safetensors"]["sha256"]
    assert stated["shape"] == [VIEWS, 140, 10]
