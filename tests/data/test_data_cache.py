"""What a second scan reads again."""

import os

import PIL
import pytest

from edgetl.data import survey as survey_module
from edgetl.data.cache import scan_file
from edgetl.errors import DataError


@pytest.fixture
def looks(monkeypatch):
    """Names of the files that are really opened."""
    seen = []
    real = survey_module.probe_file

    def counted(path, memory):
        seen.append(path.name)
        return real(path, memory)

    monkeypatch.setattr(survey_module, "probe_file", counted)
    return seen


def test_a_second_scan_opens_nothing_and_finds_the_same(pets, open_folder, looks):
    (pets / "cat/bad.jpg").write_bytes(b"no image")
    first = open_folder(pets, max_unreadable=1)
    assert len(looks) == 18
    looks.clear()
    assert open_folder(pets, max_unreadable=1) == first
    assert looks == []


def test_a_changed_and_a_new_file_are_opened_and_a_removed_one_is_forgotten(pets, open_folder, looks, paint):
    open_folder(pets)
    looks.clear()
    os.utime(pets / "cat/0000.png", ns=(1, 1))
    paint("dog", 1)
    (pets / "cat/0001.png").unlink()
    open_folder(pets)
    assert sorted(looks) == ["0000.png", "0017.png"]
    assert "0001.png" not in scan_file(pets).read_text()


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\xff\x00",
        b"[]",
        b"7",
        b'{"schema_version": 1}',
        b'{"schema_version": 99, "files": {}}',
    ],
)
def test_a_damaged_cache_is_made_again(pets, open_folder, looks, damage):
    first = open_folder(pets)
    good = scan_file(pets).read_bytes()
    scan_file(pets).write_bytes(damage)
    looks.clear()
    assert open_folder(pets) == first
    assert len(looks) == 17
    assert scan_file(pets).read_bytes() == good


@pytest.mark.parametrize("row", ['"x"', "[1]", '[1, 2, "short", 5, 5, ""]', '[1, 2, "", 0, 0, ""]', "null"])
def test_a_row_that_says_nothing_possible_spoils_the_whole_cache(pets, open_folder, looks, row):
    first = open_folder(pets)
    text = scan_file(pets).read_text()
    start = text.index("[", text.index("cat/0000.png"))
    scan_file(pets).write_text(text[:start] + row + text[text.index("]", start) + 1 :])
    looks.clear()
    assert open_folder(pets) == first
    assert len(looks) == 17


def test_what_another_pillow_could_read_is_looked_at_again(pets, open_folder, looks):
    open_folder(pets)
    scan_file(pets).write_text(scan_file(pets).read_text().replace(PIL.__version__, "0.1"))
    looks.clear()
    open_folder(pets)
    assert len(looks) == 17


def test_a_cache_that_cannot_be_written_is_said_and_harmless(pets, open_folder, heard, cache):
    cache.write_text("a file where the folder should be")
    assert len(open_folder(pets).samples) == 17
    assert heard.lines[:-1] == [f"The scan is not saved: {cache} cannot be written (File exists)."]


def test_a_missing_permission_is_not_remembered(pets, open_folder, monkeypatch):
    def refused(path, memory):
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(survey_module, "probe_file", refused)
        with pytest.raises(DataError, match=r"17 unreadable images, 0 allowed \(cat/0000.png: Permission denied;"):
            open_folder(pets)
    assert open_folder(pets).unreadable == {}


def test_a_link_to_nothing_is_looked_at_again(pets, open_folder):
    (pets / "cat/gone.png").symlink_to("later.dat")
    assert open_folder(pets, max_unreadable=1).unreadable == {"cat/gone.png": "is a link to nothing"}
    (pets / "cat/0000.png").rename(pets / "cat/later.dat")
    assert open_folder(pets).unreadable == {}


def test_an_interrupted_scan_keeps_what_it_has_seen(pets, open_folder, looks, monkeypatch):
    real = survey_module.probe_file

    def interrupted(path, memory):
        if path.name == "0012.png":
            raise KeyboardInterrupt
        return real(path, memory)

    with monkeypatch.context() as patch:
        patch.setattr(survey_module, "probe_file", interrupted)
        with pytest.raises(KeyboardInterrupt):
            open_folder(pets)
    looks.clear()
    open_folder(pets)
    assert sorted(looks) == [f"{number:04d}.png" for number in range(12, 17)]
