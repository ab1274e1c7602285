"""What cannot be pruned is refused by name."""

import pytest
import small_run

from edgetl.devices.profiles import find_target
from edgetl.errors import MissingExtra, ModelError
from edgetl.prune.eligible import check_prunable
from edgetl.prune.timing import timed_format
from edgetl.recipe.networks import StudentConfig
from edgetl.runs import installed

TARGET = find_target("linux-x86")


def recipe(model, **export):
    return small_run.recipe(export=export).model_copy(update={"student": StudentConfig(model=model, weights="none")})


@pytest.mark.parametrize("model", ["test_resnet", "test_efficientnet", "mobilenetv3_small", "torchvision:mobilenet_v2"])
def test_convolutions_with_batch_norm_are_welcome(model):
    check_prunable(recipe(model), TARGET)


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ("test_vit", "it has LayerNorm, and only convolutions with batch norm are supported"),
        ("torchvision:squeezenet1_1", "it has no batch norm"),
        ("regnety_002", "it has grouped convolutions"),
        ("torchvision:shufflenet_v2_x0_5", "Torch-Pruning cannot follow its wiring: "),
    ],
)
def test_other_networks_are_refused_in_a_line(model, problem):
    with pytest.raises(ModelError) as caught:
        check_prunable(recipe(model), TARGET)
    assert str(caught.value).startswith(f"{model}: cannot be pruned ({problem}")
    assert str(caught.value).endswith("). Leave --prune out, or choose another student")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("formats", "missing", "chosen"),
    [
        ("auto", (), "openvino"),
        ("auto", ("openvino",), "onnx"),
        (["tflite", "onnx"], (), "onnx"),
        (["tflite"], ("onnx",), "tflite"),
    ],
)
def test_latency_is_judged_by_the_format_that_is_written_quickest(formats, missing, chosen, monkeypatch):
    monkeypatch.setattr(installed, "installed_version", lambda name: None if name in missing else "1")
    assert timed_format(recipe("test_resnet", formats=formats), TARGET) == chosen


def test_without_a_runtime_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(installed, "installed_version", lambda _: None)
    with pytest.raises(MissingExtra, match=r"openvino is not installed. Run: pip install 'edgetl\[openvino\]'"):
        timed_format(recipe("test_resnet"), TARGET)
