"""Run folders: whole or absent, and never in contradiction with themselves."""

import json
from pathlib import Path

import pytest

from edgetl.errors import DamagedFile, RunFolderError
from edgetl.runs.files import hash_of, sha256_of, write_atomic
from edgetl.runs.folder import RunFolder


def keep(
    folder: RunFolder,
    stage: str,
    inputs: str,
    *,
    readers: tuple[str, ...] = (),
    lasting: tuple[str, ...] = (),
    **files: str,
) -> None:
    """Finish a stage that wrote `files`, a content by a name without its suffix."""
    with folder.writing(stage) as partial:
        for name, content in files.items():
            (partial / f"{name}.txt").write_text(content)
        record = {"inputs": inputs, "metrics": {}, "seconds": 0.1}
        folder.keep(stage, partial, record, {"role": "teacher", "recipe": {}}, readers=readers, lasting=lasting)


def failing_at(path: Path):
    """A `Path.replace` on a disk that fails when a file is to become `path`."""
    real = Path.replace

    def replace(self, target):
        if Path(target) == path:
            raise OSError(5, "input/output error")
        return real(self, target)

    return replace


@pytest.fixture
def folder(tmp_path):
    run = RunFolder.prepare(tmp_path / "run")
    keep(run, "export", "1", model="weights")
    keep(run, "bench", "2", bench="3 ms")
    return run


def test_a_kept_stage_is_there_for_whoever_opens_the_run_again(folder):
    again = RunFolder.open(folder.path)
    assert again.is_current("export", "1")
    assert again.files_of("export") == {"model.txt": sha256_of(folder.path / "model.txt")}
    assert [p.name for p in folder.path.iterdir() if p.name.startswith(".")] == []


def test_other_inputs_or_other_bytes_or_a_missing_file_make_a_stage_stale(folder):
    assert not folder.is_current("export", "other")
    assert not folder.is_current("verify", "1")
    (folder.path / "model.txt").write_text("tampered")
    assert not folder.is_current("export", "1")
    (folder.path / "bench.txt").unlink()
    assert not folder.is_current("bench", "2")


def test_new_files_of_a_stage_take_those_of_its_readers_away(folder):
    keep(folder, "export", "3", readers=("bench",), model="other weights")
    assert folder.stage("bench") is None
    assert not (folder.path / "bench.txt").exists()
    assert set(folder.manifest["files"]) == {"model.txt"}


def test_a_page_that_people_open_stays_until_it_is_made_again(folder):
    keep(folder, "export", "3", readers=("bench",), lasting=("bench",), model="other weights")
    assert folder.stage("bench") is None
    assert (folder.path / "bench.txt").read_text() == "3 ms"
    assert set(RunFolder.open(folder.path).manifest["files"]) == {"model.txt"}


def test_the_same_files_again_leave_the_readers_alone(folder):
    keep(folder, "export", "3", readers=("bench",), model="weights")
    assert folder.is_current("bench", "2")


def test_files_that_a_stage_no_longer_makes_are_removed(folder):
    keep(folder, "export", "3", other="weights")
    assert not (folder.path / "model.txt").exists()
    assert (folder.path / "other.txt").read_text() == "weights"


def test_a_stage_that_fails_leaves_no_trace_of_a_new_run(tmp_path):
    run = RunFolder.prepare(tmp_path / "deep" / "run")
    with pytest.raises(ValueError, match="wrong"), run.writing("export") as partial:
        (partial / "model.txt").write_text("half")
        raise ValueError("wrong")
    assert list(tmp_path.iterdir()) == []


def test_a_stage_that_fails_leaves_the_files_of_the_last_time(folder):
    with pytest.raises(ValueError, match="wrong"), folder.writing("export") as partial:
        (partial / "model.txt").write_text("half")
        raise ValueError("wrong")
    assert (folder.path / "model.txt").read_text() == "weights"
    assert folder.is_current("export", "1")


def test_what_a_killed_run_left_is_swept_up(folder):
    stale = folder.path / ".partial-export"
    stale.mkdir()
    (stale / "model.txt").write_text("half")
    keep(folder, "export", "3", model="weights")
    assert not stale.exists()


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    write_atomic(tmp_path / "a", "old")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema_version": "x"}', "{ cut"])
def test_a_damaged_manifest_is_named(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(RunFolderError, match=r"manifest.json: damaged"):
        RunFolder.open(tmp_path)


@pytest.mark.parametrize("key", ["role", "parents", "recipe", "stages", "files", "metrics"])
def test_a_manifest_without_what_every_run_has_is_damaged(key, folder):
    without = {name: value for name, value in folder.manifest.items() if name != key}
    (folder.path / "manifest.json").write_text(json.dumps(without))
    with pytest.raises(RunFolderError, match=rf"manifest\.json: damaged \({key}: field required\)"):
        RunFolder.open(folder.path)


def edited(folder: RunFolder, *path: str, value: object) -> RunFolder:
    """The run, opened again after somebody changed its manifest."""
    file = folder.path / "manifest.json"
    manifest = json.loads(file.read_text())
    place = manifest
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    file.write_text(json.dumps(manifest))
    return RunFolder.open(folder.path)


MODEL = {"library": "timm", "name": "resnet18", "num_classes": 4, "image_size": 16, "mean": [0, 0, 0], "std": [1, 1, 1]}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("files", "/abs/victim"), {"sha256": "0" * 64, "bytes": 1, "stage": "export"}),
        (("files", "../../x"), {"sha256": "0" * 64, "bytes": 1, "stage": "export"}),
        (("files", ".."), {"sha256": "0" * 64, "bytes": 1, "stage": "export"}),
        (("files", "model.txt"), {"sha256": "short", "bytes": 1, "stage": "export"}),
        (("files", "model.txt"), 3),
        (("files", "other.txt"), {"sha256": "0" * 64, "bytes": 1, "stage": "export"}),
        (("stages", "export", "files"), ["model.txt", "/etc/passwd"]),
        (("stages", "export", "files"), None),
        (("stages", "export", "inputs"), 7),
        (("stages", "export", "artifacts"), [{"file": "../m.onnx", "format": "onnx", "precision": "fp32"}]),
        (("stages", "export", "artifacts"), "all"),
        (("role",), "king"),
        (("parents",), [{"role": "teacher", "run": ""}]),
        (("recipe",), []),
        (("metrics",), {"export": "good"}),
        (("model",), MODEL | {"arguments": {"checkpoint_path": "evil.pth"}}),
        (("model",), MODEL | {"arguments": {"pretrained_cfg_overlay": {"url": "http://evil"}}}),
        (("model",), MODEL | {"name": "local-dir:/tmp/evil"}),
        (("model",), MODEL | {"name": "hf-hub:evil/model"}),
        (("model",), MODEL | {"library": "os"}),
        (("model",), MODEL | {"mean": [0, 0]}),
        (("contract",), {"schema_version": 1}),
        (("contract",), 5),
        (("lineage",), {"teachers": [{"run": "teacher"}]}),
        (("lineage",), {"ensemble_test_top1": 1.5}),
        (("surprise",), 1),
    ],
)
def test_a_manifest_that_leads_elsewhere_or_holds_something_else_is_refused_in_one_line(path, value, folder, tmp_path):
    before = sorted(place.name for place in folder.path.iterdir())
    with pytest.raises(RunFolderError, match=r"manifest\.json: damaged \(") as caught:
        edited(folder, *path, value=value)
    assert "\n" not in str(caught.value)
    assert sorted(place.name for place in folder.path.iterdir()) == before


def test_what_a_network_may_be_told_is_accepted(folder):
    arguments = {"img_size": 32, "patch_size": 4}
    assert edited(folder, "model", value=MODEL | {"arguments": arguments}).manifest["model"]["arguments"] == arguments


def test_a_file_that_was_changed_is_not_read(folder):
    assert folder.file("model.txt").read_text() == "weights"
    (folder.path / "model.txt").write_text("WEIGHTS")
    with pytest.raises(DamagedFile, match=r"model\.txt: is not what the export stage wrote"):
        folder.file("model.txt")
    (folder.path / "model.txt").unlink()
    with pytest.raises(DamagedFile, match=r"model\.txt: is gone"):
        folder.file("model.txt")
    (folder.path / "model.txt").symlink_to(folder.path / "bench.txt")
    with pytest.raises(DamagedFile, match=r"model\.txt: is a link"):
        folder.file("model.txt")
    with pytest.raises(RunFolderError, match=r"other\.txt: no such file\. The stage that makes it has not run"):
        folder.file("other.txt")


@pytest.mark.parametrize(
    ("contract", "message"),
    [
        ({"schema_version": 9}, r"manifest\.json: contract schema 9 is newer than 1\. Upgrade edgetl"),
        ({"schema_version": 1}, r"manifest\.json: contract lacks 'labels'"),
        (None, r"run: has no contract\. Run its data stage first"),
    ],
)
def test_a_contract_that_cannot_be_used_is_named(contract, message, folder):
    manifest = folder.manifest | ({"contract": contract} if contract else {})
    with pytest.raises(RunFolderError, match=message):
        _ = RunFolder(folder.path, manifest).contract


def test_a_newer_manifest_is_refused(folder):
    manifest = json.loads((folder.path / "manifest.json").read_text())
    (folder.path / "manifest.json").write_text(json.dumps(manifest | {"schema_version": 3}))
    with pytest.raises(RunFolderError, match=r"schema version 3 is newer than this edgetl reads \(2\). Upgrade edgetl"):
        RunFolder.prepare(folder.path)


def test_an_older_manifest_is_refused(folder):
    (folder.path / "manifest.json").write_text('{"schema_version": 1, "kind": "distill"}')
    with pytest.raises(RunFolderError, match=r"schema version 1 is from an older edgetl; this one reads 2\. Run again"):
        RunFolder.open(folder.path)


def test_a_hash_does_not_depend_on_the_order_of_keys():
    assert hash_of({"a": 1, "b": [2]}) == hash_of({"b": [2], "a": 1})
    assert hash_of({"a": 1}) != hash_of({"a": 2})


def test_what_a_killed_run_left_is_ours_and_anything_else_is_not(tmp_path):
    for name in (".partial-data", ".checkpoint-distill", "whatever/.partial-data"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / ".manifest.json.77.tmp").write_text("{ cut")
    assert RunFolder.prepare(tmp_path).manifest["stages"] == {}
    (tmp_path / ".partial-data").rmdir()
    (tmp_path / "teachers.csv").write_text("names")
    with pytest.raises(RunFolderError, match=r"holds something else \(teachers.csv\)"):
        RunFolder.prepare(tmp_path)
    (tmp_path / "teachers.csv").unlink()
    (tmp_path / "teacher").mkdir()
    with pytest.raises(RunFolderError, match=r"holds something else \(teacher\)"):
        RunFolder.prepare(tmp_path)


def test_a_run_killed_while_its_first_stage_was_kept_can_go_on(tmp_path):
    (tmp_path / ".partial-data").mkdir()
    (tmp_path / "data.txt").write_text("already in its place")
    keep(RunFolder.prepare(tmp_path), "data", "1", data="ours")
    assert RunFolder.open(tmp_path).is_current("data", "1")


def test_a_stage_that_cannot_be_kept_leaves_no_trace_of_a_new_run(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "replace", failing_at(tmp_path / "run" / "manifest.json"))
    folder = RunFolder.prepare(tmp_path / "run")
    with pytest.raises(OSError, match="input/output"):
        keep(folder, "data", "1", data="ours")
    assert not (tmp_path / "run").exists()
    assert folder.stage("data") is None


def test_a_stage_that_cannot_be_kept_again_takes_no_older_file_away(folder, monkeypatch):
    monkeypatch.setattr(Path, "replace", failing_at(folder.path / "b.txt"))
    with pytest.raises(OSError, match="input/output"):
        keep(folder, "export", "3", b="new", model="new weights")
    again = RunFolder.open(folder.path)
    assert again.is_current("export", "1")
    assert not (folder.path / "b.txt").exists()


def test_a_disk_too_full_for_the_manifest_leaves_the_stage_as_it_was(folder, monkeypatch):
    def full(path, content):
        raise OSError(28, "no space left on device")

    monkeypatch.setattr("edgetl.runs.folder.write_atomic", full)
    with pytest.raises(OSError, match="no space"):
        keep(folder, "export", "3", model="new weights")
    assert RunFolder.open(folder.path).is_current("export", "1")


def test_a_file_is_no_run_folder(tmp_path):
    file = tmp_path / "model.w8a8.onnx"
    file.write_bytes(b"")
    with pytest.raises(RunFolderError) as caught:
        RunFolder.open(file)
    assert str(caught.value) == f"{file}: is a file. Give the run folder that it lies in, such as {tmp_path}"
