"""The index in its file."""

import json
import subprocess
import sys

import pytest
import small_run

from edgetl.data.index import ImageIndex, Sample, read_index
from edgetl.data.scan import scan
from edgetl.errors import DataError, RunFolderError
from edgetl.recipe.images import DataConfig
from edgetl.runs.reporter import Reporter


def written(index, folder, **changes):
    (folder / "data.json").write_text(json.dumps(index.to_dict(folder) | changes))
    return small_run.run_of(folder)


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


def test_what_is_written_is_read(pets, open_folder, run):
    index = open_folder(pets)
    assert read_index(written(index, run)) == index


def test_names_that_are_no_text_come_back_as_they_were(pets, open_folder, run):
    name = b"\xff\xe9.png".decode(errors="surrogateescape")
    (pets / "cat/0000.png").rename(pets / "cat" / name)
    index = read_index(written(open_folder(pets), run))
    assert index.file(next(s for s in index.samples if s.path == f"cat/{name}")).is_file()


def test_a_removed_file_and_a_moved_folder_are_named_with_the_cure(pets, open_folder):
    index = open_folder(pets)
    (pets / index.samples[3].path).unlink()
    cure = (
        "is gone since this run read it, unless the run was moved without its images. Put it back, or start a run on"
        " the data as it is now"
    )
    with pytest.raises(DataError) as caught:
        index.file(index.samples[3])
    assert str(caught.value) == f"{pets / index.samples[3].path}: {cure}"
    pets.rename(pets.with_name("elsewhere"))
    with pytest.raises(DataError) as caught:
        index.file(index.samples[0])
    assert str(caught.value) == f"{pets}: {cure}"


def test_a_run_on_the_embedded_set_opens_where_the_set_was_never_made(digits, run, tmp_path, monkeypatch):
    index, _ = scan(digits, DataConfig(), seed=0, reporter=Reporter())
    folder = written(index, run)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another machine"))
    again = read_index(folder)
    assert again.file(again.samples[0]).is_relative_to(tmp_path / "another machine")
    assert again.samples == index.samples


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 2}, "schema version 2 is newer than 1"),
        ({"samples": [{"path": "a"}]}, "a field is missing or wrong"),
        ({"median_side": None}, "a field is missing or wrong"),
    ],
)
def test_a_newer_or_damaged_file_is_refused(pets, open_folder, run, changes, message):
    folder = written(open_folder(pets), run, **changes)
    with pytest.raises(RunFolderError, match=message):
        read_index(folder)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema_version": 1'])
def test_what_is_no_index_is_refused(run, content):
    (run / "data.json").write_text(content)
    with pytest.raises(RunFolderError, match=r"data.json: cannot be used .* Run again with another --out"):
        read_index(small_run.run_of(run))


def test_a_run_and_its_images_move_together(pets, open_folder, tmp_path):
    index = open_folder(pets)
    told = json.dumps(index.to_dict(tmp_path / "runs" / "one"))
    assert str(tmp_path) not in told
    assert ImageIndex.from_dict(json.loads(told), tmp_path / "runs" / "one") == index
    moved = ImageIndex.from_dict(json.loads(told), tmp_path / "away" / "runs" / "one")
    assert moved.root == tmp_path / "away" / pets.relative_to(tmp_path)


def test_reading_an_index_needs_no_library_for_training():
    """Whoever only measures a run has a runtime, and not these."""
    asked = "torch timm torchvision sklearn scipy safetensors accelerate"
    code = f"import sys, edgetl.data.index; print([name for name in '{asked}'.split() if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_image_that_leads_out_of_the_root_is_refused(tmp_path):
    (tmp_path / "secret.png").write_bytes(b"mine")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link.png").symlink_to(tmp_path / "secret.png")
    index = ImageIndex(tmp_path / "root", ("a", "b"), (), unreadable={}, median_side=8)
    for path in ("../secret.png", str(tmp_path / "secret.png"), "link.png"):
        with pytest.raises(DataError, match="leads out of"):
            index.file(Sample(path, 0, "test", "0" * 64))
