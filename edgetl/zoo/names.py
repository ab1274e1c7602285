"""Model names as people type them, and the library models that they mean."""

from dataclasses import dataclass
from typing import Literal

from edgetl.errors import ModelError
from edgetl.recipe.checking import nearest
from edgetl.zoo.torchvision_ops import ensure_torchvision

__all__ = ["ALIASES", "LibraryModel", "resolve"]

ALIASES: dict[str, str] = {
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    "resnet50": "resnet50",
    "resnet101": "resnet101",
    "vgg16": "vgg16",
    "vgg19": "vgg19",
    "inceptionv3": "inception_v3",
    "densenet121": "densenet121",
    "mobilenetv2": "mobilenetv2_100",
    "mobilenetv3_small": "mobilenetv3_small_100",
    "mobilenetv3_large": "mobilenetv3_large_100",
    "mobilenetv4_small": "mobilenetv4_conv_small",
    "mobilenetv4_medium": "mobilenetv4_conv_medium",
    "efficientnet_b0": "efficientnet_b0",
    "efficientnet_b1": "efficientnet_b1",
    "efficientnet_b2": "efficientnet_b2",
    "efficientnet_b3": "efficientnet_b3",
    # Only these variants of the Lite family have pretrained weights.
    "efficientnet_lite0": "efficientnet_lite0",
    "efficientnet_lite1": "tf_efficientnet_lite1",
    "efficientnet_lite2": "tf_efficientnet_lite2",
    "vit_small": "vit_small_patch16_224",
    "vit_base": "vit_base_patch16_224",
    "convnext_tiny": "convnext_tiny",
}
"""Short names, and what timm calls these models."""

_TORCHVISION = "torchvision:"


@dataclass(frozen=True)
class LibraryModel:
    """A model of a library, by that library's name."""

    library: Literal["timm", "torchvision"]
    name: str


def resolve(name: str) -> LibraryModel:
    """Find the library model that a name means: an alias, a timm name, or `torchvision:NAME`.

    Raises:
        ModelError: There is none; the nearest names are offered.
    """
    if name in ALIASES:
        return LibraryModel("timm", ALIASES[name])
    ensure_torchvision()
    if name.startswith(_TORCHVISION):
        return _resolve_torchvision(name.removeprefix(_TORCHVISION))
    import timm

    if _timm_knows(name):
        return LibraryModel("timm", name)
    raise _unknown(name, timm.list_pretrained() if "." in name else [*ALIASES, *timm.list_models()])


def _timm_knows(name: str) -> bool:
    import timm

    try:
        return timm.is_model(name) and timm.get_pretrained_cfg(name) is not None
    except RuntimeError:  # the model is known, the tag behind the dot is not
        return False


def _resolve_torchvision(name: str) -> LibraryModel:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise _unknown(_TORCHVISION + name, [_TORCHVISION + k for k in known])
    return LibraryModel("torchvision", name)


def _unknown(name: str, known: list[str]) -> ModelError:
    if "/" in name:  # no model's name has one
        return ModelError(f"{name}: no run folder is there. 'edgetl finetune' makes one")
    near = nearest(name, list(dict.fromkeys(known)), 3)  # most aliases are names of timm too
    cure = f"Did you mean {', '.join(near)}?" if near else f"Try one of {', '.join(list(ALIASES)[:8])} ..."
    return ModelError(f"{name}: no model has this name, and no run folder is there. {cure}")
