"""What the runner's commands compute and print, in this process."""

import itertools
import json

import numpy as np
import pytest
import tiny

from edgetl.runner import model as model_module
from edgetl.runner.__main__ import main
from edgetl.runner.commands import predict, time_model
from edgetl.runner.contract import load_image
from edgetl.runner.errors import BrokenModel, RunnerError
from edgetl.runner.model import Model

every_format = pytest.mark.parametrize("name", sorted(tiny.FILE_OF_FORMAT))


@pytest.fixture(scope="module")
def images():
    return tiny.some_images(150)


@pytest.fixture(scope="module")
def files(images, tmp_path_factory):
    return tiny.write_images(tmp_path_factory.mktemp("images"), images)


@pytest.fixture
def files_list(files, tmp_path):
    return tiny.write_list(tmp_path / "files.json", files[:10])


@every_format
def test_predictions_start_from_the_files_and_keep_their_order(name, files, images, tmp_path):
    probabilities_NK, facts = predict(Model.open(tiny.build(name, tmp_path)), files)
    np.testing.assert_allclose(probabilities_NK, tiny.reference(images), atol=2e-6)
    assert facts["images"] == 150
    assert facts["contract"] == tiny.CONTRACT.to_json()


@every_format
def test_predict_writes_the_array_and_prints_one_object(name, files_list, images, tmp_path, capfd):
    out = tmp_path / "probabilities.npy"
    assert main(["predict", str(tiny.build(name, tmp_path)), "--files", str(files_list), "--out", str(out)]) == 0
    printed = json.loads(capfd.readouterr().out)
    assert set(printed) == {"images", "runtime", "contract"}
    saved = np.load(out)
    assert saved.dtype == np.float32
    np.testing.assert_allclose(saved, tiny.reference(images[:10]), atol=2e-6)


@every_format
def test_time_prints_raw_samples_of_both_series(name, files_list, tmp_path, capfd):
    options = ["--warmup", "2", "--min-samples", "5", "--min-seconds", "0"]
    assert main(["time", str(tiny.build(name, tmp_path)), "--files", str(files_list), *options]) == 0
    printed = json.loads(capfd.readouterr().out)
    assert len(printed["infer_s"]) == len(printed["total_s"]) == 5
    assert all(seconds > 0 for seconds in printed["infer_s"] + printed["total_s"])
    assert printed["peak_rss_bytes"] > printed["rss_before_load_bytes"] > 0
    assert printed["runtime"]["threads"] == 1


def test_every_time_comes_from_the_given_clock(files, tmp_path):
    clock = itertools.count(step=0.25).__next__
    limits = {"warmup_runs": 1, "min_samples": 3, "min_seconds": 1.0}
    raw = time_model(tiny.build("onnx", tmp_path), files[:2], threads=1, **limits, clock=clock)
    assert (raw["load_s"], raw["infer_s"], raw["total_s"]) == (0.25, [0.25] * 4, [0.25] * 4)


def test_images_take_turns_and_are_decoded_from_memory(files, tmp_path, monkeypatch):
    decoded = []
    monkeypatch.setattr(model_module, "load_image", lambda source: decoded.append(source) or load_image(source))
    limits = {"warmup_runs": 1, "min_samples": 3, "min_seconds": 0.0}
    time_model(tiny.build("onnx", tmp_path), files[:3], threads=1, **limits, clock=itertools.count().__next__)
    sources = [file.read_bytes() for file in files[:3]]
    assert decoded == [*files[:3], *sources, sources[0]]


def test_a_fixed_batch_is_timed_full(files, tmp_path):
    limits = {"warmup_runs": 1, "min_samples": 2, "min_seconds": 0.0}
    raw = time_model(
        tiny.build("tflite", tmp_path, batch=4), files[:3], threads=1, **limits, clock=itertools.count().__next__
    )
    assert raw["runtime"]["input_batch"] == 4


def test_a_contract_on_the_side_replaces_the_embedded_one(files_list, images, tmp_path, capsys):
    model, side, out = tiny.build("onnx", tmp_path, contract=None), tmp_path / "side.json", tmp_path / "p.npy"
    arguments = ["predict", str(model), "--files", str(files_list), "--out", str(out)]
    assert main(arguments) == 2
    assert "carries no contract" in json.loads(capsys.readouterr().out)["error"]
    side.write_text(tiny.CONTRACT.to_json(), encoding="utf-8")
    assert main([*arguments, "--contract", str(side)]) == 0
    assert json.loads(capsys.readouterr().out)["contract"] is None
    np.testing.assert_allclose(np.load(out), tiny.reference(images[:10]), atol=2e-6)


def test_an_unreadable_image_is_named(files, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(files[0].read_bytes()[:60])
    with pytest.raises(RunnerError, match=r"broken\.png: cannot be read as an image"):
        predict(Model.open(tiny.build("onnx", tmp_path)), [files[0], broken])
    limits = {"warmup_runs": 1, "min_samples": 2, "min_seconds": 0.0}
    with pytest.raises(RunnerError, match=r"gone\.png: cannot be read"):
        time_model(tiny.build("onnx", tmp_path), [tmp_path / "gone.png"], threads=1, **limits, clock=lambda: 0.0)


@pytest.mark.parametrize("text", ["[]", "null", '{"labels": 3}', '{"schema_version": 99}', "no json"])
def test_a_foreign_contract_is_refused(text, tmp_path):
    with pytest.raises(BrokenModel, match=r"model\.onnx: carries a contract that cannot be read"):
        Model.open(tiny.build("onnx", tmp_path, contract=text))


@pytest.mark.parametrize("text", ["[]", "{}", "[1]", "no json"])
def test_a_wrong_list_of_files_is_one_error_object(text, tmp_path, capsys):
    files = tmp_path / "list.json"
    files.write_text(text, encoding="utf-8")
    assert main(["predict", str(tiny.build("onnx", tmp_path)), "--files", str(files), "--out", "unused.npy"]) == 2
    assert "list.json: " in json.loads(capsys.readouterr().out)["error"]


def test_a_place_that_cannot_be_written_is_named(files_list, tmp_path, capsys):
    out = tmp_path / "no" / "such" / "folder.npy"
    assert main(["predict", str(tiny.build("onnx", tmp_path)), "--files", str(files_list), "--out", str(out)]) == 2
    assert "folder.npy: cannot be written (No such file or directory)" in json.loads(capsys.readouterr().out)["error"]
