"""The recipe: what is refused and in which words, and that it survives being written down."""

import pytest
import yaml

from edgetl.errors import ConfigError
from edgetl.recipe.checking import build
from edgetl.recipe.fields import QuantizeConfig, Recipe
from edgetl.recipe.presets import digits_recipe
from edgetl.recipe.reading import load_recipe, read_settings, with_values
from edgetl.recipe.template import recipe_template


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"calibration_imgs": 64}, "unknown key. Did you mean 'calibration_images'?"),
        ({"calibration_images": 8}, "expected a whole number from 32 to 4096, got 8"),
        ({"scheme": "w8a8,int9"}, "expected a list of w8a8, fp16, w8, dynamic, got 'int9'"),
        ({"max_drop": 1.5}, "expected a number from 0 to 1, got 1.5"),
    ],
)
def test_a_bad_section_names_the_field_and_the_cure(data, message):
    with pytest.raises(ConfigError, match=r"^quantize\.") as caught:
        build(QuantizeConfig, data, "quantize")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_schemes_are_a_list_or_names_with_commas():
    for given in ("fp16,w8a8", "fp16, w8a8,fp16", ["fp16", "w8a8"]):
        assert build(QuantizeConfig, {"scheme": given}, "quantize").scheme == ("fp16", "w8a8")
    assert build(QuantizeConfig, {"scheme": "w8a8"}, "quantize").scheme == ("w8a8",)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"datta": {}}, "datta: unknown key. Did you mean 'data'?"),
        (
            {"data": {"image_size": "big"}},
            "data.image_size: expected a whole number from 8 to 1024 or 'auto', got 'big'",
        ),
        ({"student": {"learning_rate": -1}}, "student.learning_rate: expected a number between 0 and 10 or 'auto'"),
        (
            {"export": {"formats": ["onnx", "onx"]}},
            "export.formats: expected a list of onnx, tflite, openvino or 'auto'",
        ),
        ({"student": 3}, "student: expected keys and values, got 3"),
        ({"student": {"zzz": 3}}, "student.zzz: unknown key. Known keys: model, weights"),
        (["a list"], "recipe: expected keys and values, got ['a list']"),
    ],
)
def test_a_bad_recipe_names_the_field_and_the_cure(data, message):
    with pytest.raises(ConfigError) as caught:
        build(Recipe, data, "")
    assert str(caught.value).startswith(message)


def test_a_part_of_a_section_leaves_the_rest_at_its_default():
    recipe = build(Recipe, {"student": {"epochs": 7}}, "")
    assert (recipe.student.model, recipe.student.epochs) == ("mobilenetv2", 7)


@pytest.mark.parametrize("data", [{}, digits_recipe(), {"export": {"formats": ["onnx"]}, "bench": {"threads": 3}}])
def test_a_template_reads_back_as_the_same_recipe(data):
    recipe = build(Recipe, data, "")
    assert build(Recipe, yaml.safe_load(recipe_template(recipe)), "") == recipe


def test_a_template_explains_every_field():
    text = recipe_template(Recipe())
    assert "# Smallest part of the image's area that a random crop keeps, as a fraction of 1.\n  crop_area: 0.5" in text
    assert "None" not in text


def test_settings_lie_over_the_recipe_and_leave_it_alone():
    recipe = digits_recipe()
    settings = ["student.epochs=3", "bench.threads=auto", "export.formats=[onnx]", "seed=4"]
    changed = with_values(recipe, read_settings(settings))
    assert changed["student"]["epochs"] == 3
    assert changed["student"]["weights"] == "none"
    assert changed["bench"] == {"threads": "auto"}
    assert changed["export"]["formats"] == ["onnx"]
    assert changed["seed"] == 4
    assert recipe == digits_recipe()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("student.epochs", "--set: expected a.b=c, got 'student.epochs'"),
        ("seed.x.y=1", "seed.x.y: 'seed' is no section of the recipe"),
        ("seed=[1", "--set: '[1' is not a YAML value"),
    ],
)
def test_a_bad_setting_is_named(setting, message):
    with pytest.raises(ConfigError) as caught:
        with_values({"seed": 1}, read_settings([setting]))
    assert str(caught.value).startswith(message)


def test_recipe_files_that_cannot_be_read(tmp_path):
    for content, message in [("a: [", "is not valid YAML"), ("- 1", "expected keys and values at the top")]:
        (tmp_path / "r.yaml").write_text(content)
        with pytest.raises(ConfigError, match=message):
            load_recipe(tmp_path / "r.yaml")
    with pytest.raises(ConfigError, match=r"no such recipe. 'edgetl init' writes one"):
        load_recipe(tmp_path / "none.yaml")
    (tmp_path / "r.yaml").write_text("# nothing yet\n")
    assert load_recipe(tmp_path / "r.yaml") == {}
