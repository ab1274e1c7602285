"""edgetl from Python, as the README shows it."""

import numpy as np
import pytest
from PIL import Image

import edgetl


def test_a_recipe_is_loaded_with_settings_by_dotted_name(tmp_path):
    recipe = edgetl.Recipe.load(settings={"data.path": "photos", "target": "rpi4", "student.epochs": 60})
    assert (recipe.data.path, recipe.target, recipe.student.epochs) == ("photos", "rpi4", 60)
    assert recipe.teacher.weights == "default"
    assert edgetl.Recipe.load().data.path == "digits"
    (tmp_path / "recipe.yaml").write_text("student: {epochs: 7}\n")
    assert edgetl.Recipe.load(tmp_path / "recipe.yaml").student.epochs == 7
    with pytest.raises(edgetl.EdgetlError, match=r"student\.epoch: unknown key\. Did you mean 'epochs'\?"):
        edgetl.Recipe.load(settings={"student.epoch": 7})


def test_a_run_is_opened_and_its_files_answer(finished_run):
    run = edgetl.open_run(str(finished_run))
    index = run.read_json("data.json")
    sample = next(each for each in index["samples"] if each["split"] == "test")
    file = run.path / index["root"] / sample["path"]
    artifact = next(each for each in run.artifacts() if each.precision == "w8a8")
    model = edgetl.Model.open(run.path / artifact.file)
    found = model.predict(file)
    assert found.label in run.contract.labels
    assert found.top(2)[0] == (found.label, pytest.approx(found.confidence))
    again = model.predict(np.asarray(Image.open(file).convert("RGB")))
    np.testing.assert_allclose(again.probabilities, found.probabilities, atol=1e-6)


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(edgetl.EdgetlError, match=r"no manifest\.json here, so this is not a run folder"):
        edgetl.open_run(tmp_path)


def test_a_run_from_python_is_the_run_of_the_command_line(tmp_path, stripes, cache, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    settings = {
        "data.path": str(stripes), "data.image_size": 16, "teacher.model": "test_resnet", "teacher.weights": "none",
        "teacher.epochs": 1,
    }  # fmt: skip
    run = edgetl.run(edgetl.Recipe.load(settings=settings), tmp_path / "run", stages=("data", "finetune"))
    (teacher,) = run.parents("teacher")
    assert (run.role, teacher.role, teacher.is_trained) == ("student", "teacher", True)
