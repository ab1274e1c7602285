"""What people type for a model."""

import pytest

from edgetl.errors import ModelError
from edgetl.zoo.names import ALIASES, LibraryModel, resolve
from edgetl.zoo.torchvision_ops import ensure_torchvision

ensure_torchvision()
import timm  # noqa: E402


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_means_a_model_with_pretrained_weights(alias):
    model = resolve(alias)
    assert model.library == "timm"
    assert timm.is_model(model.name)
    assert timm.get_pretrained_cfg(model.name).hf_hub_id


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mobilenetv2", LibraryModel("timm", "mobilenetv2_100")),
        ("test_vit", LibraryModel("timm", "test_vit")),
        ("resnet50.a1_in1k", LibraryModel("timm", "resnet50.a1_in1k")),
        ("torchvision:resnet18", LibraryModel("torchvision", "resnet18")),
    ],
)
def test_a_name_is_an_alias_or_a_librarys_own(name, expected):
    assert resolve(name) == expected


@pytest.mark.parametrize(
    ("typo", "message"),
    [
        ("mobilnetv2", "mobilnetv2: no model has this name, and no run folder is there. Did you mean mobilenetv2, "),
        ("resnet05", "Did you mean resnet50, "),
        ("torchvision:resnet81", "Did you mean torchvision:resnet"),
        ("torchvision:mobilenet_v2_x", "torchvision:mobilenet_v2_x: no model has this name"),
        ("resnet50.a1_in2k", "Did you mean resnet50.a1_in1k, "),
        ("resnet50.", "no model has this name"),
        ("qqqq", "Try one of resnet18, resnet34, "),
    ],
)
def test_a_typo_is_one_line_with_near_names(typo, message):
    with pytest.raises(ModelError) as caught:
        resolve(typo)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_near_name_is_offered_twice():
    with pytest.raises(ModelError) as caught:
        resolve("resnet05")
    offered = str(caught.value).partition("Did you mean ")[2].rstrip("?").split(", ")
    assert len(offered) == len(set(offered)) == 3


@pytest.mark.parametrize("name", ["squeezenet1_1", "torchvision:fasterrcnn_resnet50_fpn"])
def test_a_torchvision_name_needs_its_prefix_and_must_classify(name):
    with pytest.raises(ModelError, match="no model has this name"):
        resolve(name)
    assert resolve("torchvision:squeezenet1_1").library == "torchvision"
