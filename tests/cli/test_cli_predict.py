"""What images show, by a run, by one of its files, and from Python."""

import json

from PIL import Image

from edgetl.chain.predicting import answers_of


def test_the_recommended_file_answers_for_people_and_programs(edgetl, finished_run, stripes):
    picture = stripes / "down" / "003.png"
    done = edgetl("predict", finished_run / "model.fp32.onnx", picture)
    assert done.returncode == 0, done.stderr
    assert "confidence" in done.stdout
    assert "By: " in done.stdout
    answer = json.loads(edgetl("predict", finished_run, stripes / "down", "--json", "--top", "2").stdout)
    assert len(answer["predictions"]) == 40
    assert all(len(each["top"]) == 2 for each in answer["predictions"])
    right = sum(each["top"][0]["label"] == "down" for each in answer["predictions"])
    assert right > 30


def test_a_network_that_was_not_exported_answers_as_its_files_do(edgetl, finished_run, stripes, tmp_path):
    import numpy as np

    by_file = answers_of(finished_run / "model.fp32.onnx", [stripes / "fine"])
    by_network = answers_of(finished_run / "teacher", [stripes / "fine"])
    assert by_network.by == finished_run / "teacher"
    assert by_network.probabilities_NK.shape == by_file.probabilities_NK.shape
    assert np.allclose(by_network.probabilities_NK.sum(1), 1, atol=1e-5)


def test_what_cannot_be_asked(edgetl, finished_run, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "whole.png")
    (tmp_path / "broken.png").write_bytes(b"x")
    for words, problem in (
        ((tmp_path, tmp_path / "whole.png"), "this is not a run folder"),
        ((finished_run, tmp_path / "broken.png"), "broken.png: cannot be read as an image"),
        ((finished_run, tmp_path / "whole.png", "--top", "0"), "--top: expected a whole number of at least 1"),
        ((tmp_path / "whole.png", tmp_path / "whole.png"), "is no model file"),
    ):
        done = edgetl("predict", *words)
        assert done.returncode != 0
        assert problem in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_run_folders_are_listed(edgetl, finished_run):
    done = edgetl("runs", finished_run)
    assert "test_efficientnet" in done.stdout
    found = json.loads(edgetl("runs", finished_run, "--json").stdout)["runs"]
    assert [each["model"] for each in found] == ["test_efficientnet", "test_resnet"]
    assert found[0]["data"] == "stripes"
    assert 0 < found[0]["test_top1"] <= 1
