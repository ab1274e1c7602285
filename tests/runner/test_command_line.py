"""What is typed after `python -m edgetl.runner`, and what comes back: one JSON object and an exit status."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tiny

from edgetl.runner.__main__ import main

QUICK = ["--warmup", "1", "--min-samples", "2", "--min-seconds", "0"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Three images in a folder, a list of them, a model, and the probabilities of the images."""
    place = tmp_path_factory.mktemp("place")
    images = tiny.some_images(3)
    tiny.write_list(place / "list.json", tiny.write_images(place / "photos", images))
    tiny.build("onnx", place)
    np.save(place / "recorded.npy", tiny.reference(images))
    return place


@pytest.fixture
def ask(place, monkeypatch, capfd):
    """Run a command in the folder; returns its status and its answer."""
    monkeypatch.chdir(place)

    def ask(*arguments):
        status = main(arguments)
        printed = capfd.readouterr().out
        assert printed.count("\n") == 1
        return status, json.loads(printed)

    return ask


@pytest.mark.parametrize(
    "images",
    [
        ["photos"],
        ["--files", "list.json"],
        ["photos/000.png", "photos/001.png", "--threads", "1", "photos/002.png"],
    ],
)
def test_images_are_files_folders_or_a_list(ask, images):
    status, answer = ask("predict", "model.onnx", *images)
    assert (status, len(answer["predictions"])) == (0, 3)


def test_predict_prints_the_best_labels_of_each_image(ask):
    status, answer = ask("predict", "model.onnx", "photos/001.png", "photos/000.png", "--top", "2")
    expected_NK = tiny.reference(tiny.some_images(3)[:2])
    assert status == 0
    assert set(answer) == {"predictions", "runtime"}
    assert [each["image"] for each in answer["predictions"]] == ["photos/001.png", "photos/000.png"]
    for each, row in zip(answer["predictions"], expected_NK[::-1], strict=True):
        best = np.argsort(-row)[:2]
        assert [entry["label"] for entry in each["top"]] == [tiny.LABELS[index] for index in best]
        assert [entry["probability"] for entry in each["top"]] == pytest.approx(row[best], abs=2e-6)


@pytest.mark.parametrize("command", [["time", *QUICK], ["profile", "--runs", "2"]])
def test_without_images_times_are_of_noise_and_say_so(ask, command):
    name, *options = command
    assert ask(name, "model.onnx", *options)[1]["images"] == "noise"
    assert ask(name, "model.onnx", "photos", *options)[1]["images"] == 3


def test_verify_passes_what_is_inside_the_bound(ask):
    status, answer = ask("verify", "model.onnx", "photos", "--reference", "recorded.npy")
    assert status == 0
    assert 0 <= answer.pop("max_difference") < 2e-6
    assert answer.pop("runtime")["name"] == "onnxruntime"
    assert answer == {"passed": True, "images": 3, "agreements": 3, "allowed_difference": 1e-3, "differ": []}


def test_verify_names_the_images_outside_and_exits_with_1(ask, place, tmp_path):
    recorded_NK = np.load(place / "recorded.npy")
    recorded_NK[1] = np.roll(recorded_NK[1], 1)
    recorded_NK[2, 0] += 0.002
    np.save(tmp_path / "other.npy", recorded_NK)
    status, answer = ask("verify", "model.onnx", "photos", "--reference", str(tmp_path / "other.npy"))
    assert (status, answer["passed"], answer["agreements"]) == (1, False, 2)
    assert [each["image"] for each in answer["differ"]] == ["photos/001.png", "photos/002.png"]
    rolled, nudged = answer["differ"]
    assert rolled["label"] != rolled["recorded_label"]
    assert nudged["label"] == nudged["recorded_label"]
    assert nudged["difference"] == pytest.approx(0.002, abs=1e-5)
    assert answer["max_difference"] == rolled["difference"]
    bound = ["--max-difference", "0.0021"]
    status, answer = ask("verify", "model.onnx", "photos", "--reference", str(tmp_path / "other.npy"), *bound)
    assert (status, [each["image"] for each in answer["differ"]]) == (1, ["photos/001.png"])


def test_verify_does_not_pass_an_output_that_is_no_number(ask, tmp_path, place):
    contract = tiny.CONTRACT.to_json()
    broken = tiny.build("onnx", tmp_path, contract=contract)
    make_it_divide_by_zero(broken)
    status, answer = ask("verify", str(broken), "photos", "--reference", "recorded.npy")
    assert (status, answer["passed"], answer["max_difference"]) == (1, False, None)
    assert answer["differ"][0]["difference"] is None


def make_it_divide_by_zero(file):
    import onnx

    model = onnx.load(file)
    scale = next(each for each in model.graph.initializer if each.name == "scale")
    scale.CopyFrom(onnx.numpy_helper.from_array(np.full(1, np.nan, np.float32), "scale"))
    onnx.save(model, file)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 4), np.float32), r"expected floats (3, 4), one row for each image, found float32 (2, 4)"),
        (np.zeros((3, 4), np.int64), "found int64 (3, 4)"),
        (np.full((3, 4), np.nan), "holds values that are no numbers"),
        (np.array([{"a": 1}]), "cannot be read as an array of probabilities"),
    ],
)
def test_a_reference_that_is_none_is_refused(ask, array, message, tmp_path):
    np.save(tmp_path / "wrong.npy", array, allow_pickle=True)
    status, answer = ask("verify", "model.onnx", "photos", "--reference", str(tmp_path / "wrong.npy"))
    assert status == 2
    assert message in answer["error"]


@pytest.mark.parametrize("content", [b"", b"no array", b"PK\x05\x06" + bytes(18)])
def test_a_reference_that_is_no_array_is_refused(ask, content, tmp_path):
    (tmp_path / "wrong.npy").write_bytes(content)
    status, answer = ask("verify", "model.onnx", "photos", "--reference", str(tmp_path / "wrong.npy"))
    assert status == 2
    assert "wrong.npy: cannot be read as an array" in answer["error"]
    status, answer = ask("verify", "model.onnx", "photos", "--reference", "gone.npy")
    assert (status, answer["error"]) == (2, "gone.npy: cannot be read (No such file or directory)")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "python -m edgetl.runner: the following arguments are required: COMMAND."),
        (["fly"], "invalid choice: 'fly'"),
        (["time"], "python -m edgetl.runner time: the following arguments are required: MODEL."),
        (["time", "model.onnx", "--fast"], "python -m edgetl.runner time: unrecognized arguments: --fast."),
        (["time", "model.onnx", "--threads", "0"], "expected a whole number of at least 1, got 0"),
        (["time", "model.onnx", "--threads", "two"], "expected a whole number of at least 1, got two"),
        (["predict", "model.onnx"], "predict: give images: files, folders, or --files LIST.json."),
        (["predict", "model.onnx", "photos", "--files", "list.json"], "give images or --files, not both."),
        (["predict", "model.onnx", "photos", "--out", "p.npy", "--top", "3"], "Give one of them."),
        (["verify", "model.onnx", "photos"], "the following arguments are required: --reference."),
        (["verify", "model.onnx", "photos", "--max-difference", "2"], "expected a number from 0 to 1, got 2"),
        (["verify", "model.onnx", "photos", "--max-difference", "x"], "expected a number from 0 to 1, got x"),
        (["predict", "model.onnx", "gone"], "gone: no such file or folder"),
        (["time", "gone.onnx"], "gone.onnx: no such file"),
    ],
)
def test_wrong_usage_is_one_object_with_one_line(ask, arguments, message):
    status, answer = ask(*arguments)
    assert status == 2
    assert set(answer) == {"error"}
    assert message in answer["error"]
    assert "\n" not in answer["error"]


def test_help_names_the_program_and_what_a_device_needs(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "usage: python -m edgetl.runner" in text
    assert "  python -m edgetl.runner predict model.w8a8.tflite cat.jpg" in text
    assert "tflite-runtime for .tflite" in text
    assert "the exit status is 2" in text


def test_time_alone_works_as_edgetl_advises(place):
    command = [sys.executable, "-m", "edgetl.runner", "time", "model.onnx"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=True)
    assert len(json.loads(done.stdout)["infer_s"]) >= 64
