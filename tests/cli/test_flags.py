"""What flags mean in the recipe."""

from edgetl.cli.flags import recipe_fields


def test_flags_name_fields_and_those_not_given_leave_the_recipe_alone():
    assert recipe_fields(scheme=None, max_drop="0.02") == {"quantize.max_drop": 0.02}
    assert recipe_fields(formats="onnx, tflite", control=True) == {
        "export.formats": ["onnx", "tflite"],
        "control.seeds": 3,
    }
