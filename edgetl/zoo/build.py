"""Build a classifier by name, or rebuild the one that a run folder describes."""

import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from edgetl.data.sizing import Preprocessing
from edgetl.errors import ModelError
from edgetl.recipe.networks import ModelConfig
from edgetl.runs.files import sha256_of
from edgetl.runs.folder import WEIGHTS_FILE, RunFolder
from edgetl.runs.reporter import Reporter
from edgetl.zoo.classifier import Classifier
from edgetl.zoo.dropping import check_dropping, dropping_arguments, refused_dropping
from edgetl.zoo.head import add_hidden_layer, start_small
from edgetl.zoo.names import LibraryModel, resolve
from edgetl.zoo.small_images import last_grid, remove_strides, strides_to_remove
from edgetl.zoo.torchvision_ops import ensure_torchvision
from edgetl.zoo.weights import (
    file_metadata,
    file_shapes,
    file_state,
    fit_state,
    hub_weights,
    load_weights_file,
    misfit,
    unavailable,
    weights_file,
)
from edgetl.zoo.widths import take_widths

__all__ = ["build_classifier", "build_untrained", "check_obtainable", "load_classifier", "native_input"]

_FILE_ARGUMENTS = {"pad_type"}
"""Arguments of timm that a weights file's header may set; all others are ignored."""

_FEW_CLASSES = 2  # of a network that is only looked at


@dataclass(frozen=True)
class ModelSpec:
    """How to rebuild a network; part of the manifest's `model` entry."""

    library: str
    name: str
    num_classes: int
    image_size: int
    arguments: dict[str, Any] = field(default_factory=dict)
    strides_removed: int = 0
    head_units: int = 0
    """Units of a hidden layer beside the linear head; 0 for none."""


def check_obtainable(config: ModelConfig, reporter: Reporter) -> None:
    """Check that a model and its weights are available, before another training that precedes it starts.

    Raises:
        ModelError: No such model or weights file, a file of another model, or nothing that could be dropped.
        WeightsUnavailable: Pretrained weights are not available.
    """
    model, path = resolve(config.model), weights_file(config.weights)
    if path and not _pruned(path, model):
        _check_file(model, path)
    if config.weights == "default":
        reporter.say(f"Looking for the pretrained weights of {config.model}")
        fetch = {"timm": hub_weights, "torchvision": _torchvision_state}[model.library]
        fetch(model.name)
    if dropping_arguments(config, model.library):
        size = native_input(config).native_size
        _create_for_training(config, ModelSpec(model.library, model.name, _FEW_CLASSES, size), pretrained=False)


def _check_file(model: LibraryModel, path: Path) -> None:
    file_metadata(path)
    net = _create(ModelSpec(model.library, model.name, _FEW_CLASSES, 0), pretrained=False)
    if problem := misfit(net, file_shapes(path), _FEW_CLASSES, sized=False):
        raise ModelError(f"{path}: does not fit {model.name}: {problem}. Name the model that it is of")


def native_input(config: ModelConfig) -> Preprocessing:
    """Find mean, std and input size of a model and its weights, without building it.

    Raises:
        ModelError: No such model or weights file.
    """
    model, path = resolve(config.model), weights_file(config.weights)
    stated = file_metadata(path) if path else {}
    mean, std, size = _library_input(model)
    return Preprocessing(tuple(stated.get("mean", mean)), tuple(stated.get("std", std)), size, config.weights != "none")


def _library_input(model: LibraryModel) -> tuple[list[float], list[float], int]:
    ensure_torchvision()
    if model.library == "timm":
        import timm

        cfg = timm.get_pretrained_cfg(model.name)
        return list(cfg.mean), list(cfg.std), int(cfg.input_size[-1])
    from torchvision import models

    transforms = models.get_model_weights(model.name).DEFAULT.transforms()
    return list(transforms.mean), list(transforms.std), int(transforms.crop_size[0])


def build_classifier(
    config: ModelConfig, num_classes: int, image_size: int, *, seed: int
) -> tuple[Classifier, dict[str, Any]]:
    """Build a network for training, with the weights the recipe asks for.

    Args:
        config: Model, weights and small-image rule.
        num_classes: Outputs.
        image_size: Height and width of the input, in pixels.
        seed: Seeds the initial weights of every layer without pretrained ones.

    Returns:
        The classifier, and the manifest's `model` entry: how to rebuild it, and where its weights came from.

    Raises:
        ModelError: No such model, or weights that do not fit.
        WeightsUnavailable: Pretrained weights are not available.
    """
    torch.manual_seed(seed)
    model, path = resolve(config.model), weights_file(config.weights)
    native = native_input(config)
    arguments, units = _arguments(model, config, image_size), config.head_units
    spec = ModelSpec(model.library, model.name, num_classes, image_size, arguments, head_units=units)
    # A hidden layer comes from a file that has the same; beside the last layer of any other it is a new one.
    is_new = units > 0 and not (path and _own_entry(path, model).get("head_units") == units)
    first = replace(spec, head_units=0) if is_new else spec
    net = _create_for_training(config, first, pretrained=config.weights == "default")
    origin: dict[str, Any] = {"weights": path.name if path else config.weights}
    pruned = _pruned(path, model) if path else {}
    if path and pruned:
        take_widths(net, file_state(net, path), num_classes)
    if path:
        origin |= {"weights_sha256": sha256_of(path), "head_replaced": load_weights_file(net, path, num_classes)}
    if is_new:
        add_hidden_layer(net, num_classes, units)
    removed = strides_to_remove(net, image_size) if config.small_images == "auto" else 0
    if last_grid(net, image_size) == 0:
        raise ModelError(f"{config.model}: cannot take {image_size} px. Set data.image_size to {native.native_size}")
    entry = {
        **asdict(spec),
        "strides_removed": removed,
        "mean": list(native.mean),
        "std": list(native.std),
        "origin": origin,
        "parameters": sum(p.numel() for p in net.parameters()),
        **pruned,
    }
    classifier = Classifier(net, native.mean, native.std)
    classifier.entry = entry
    return classifier, entry


def build_untrained(config: ModelConfig, num_classes: int, image_size: int, *, seed: int) -> Classifier:
    """Build the network of a recipe layer by layer as `build_classifier` does, but with random weights in all of them.

    Args:
        config: Model, weights whose place the random ones take, and small-image rule.
        num_classes: Outputs.
        image_size: Height and width of the input, in pixels.
        seed: Seeds the weights; the state of the global generator stays as it was.
    """
    model, path, native = resolve(config.model), weights_file(config.weights), native_input(config)
    spec = ModelSpec(model.library, model.name, num_classes, image_size, _arguments(model, config, image_size))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = _create(spec, pretrained=False)
    if path and _pruned(path, model):
        take_widths(net, file_state(net, path), num_classes)
    if config.small_images == "auto":
        strides_to_remove(net, image_size)
    return Classifier(net, native.mean, native.std)


def load_classifier(folder: RunFolder) -> Classifier:
    """Rebuild a run's trained network, in eval mode.

    Raises:
        RunFolderError: The run has no trained weights yet.
        ModelError: The weights do not fit what the manifest describes.
    """
    file = folder.file(WEIGHTS_FILE)
    entry = folder.manifest["model"]
    spec = ModelSpec(**{name: entry[name] for name in ModelSpec.__dataclass_fields__ if name in entry})
    # Only names that the zoo knows: a library would also take those of hubs and folders.
    resolve(f"torchvision:{spec.name}" if spec.library == "torchvision" else spec.name)
    try:
        net, state = _create(spec, pretrained=False), load_file(file)
    except (RuntimeError, ValueError, TypeError) as cause:
        raise ModelError(f"{folder.path}: its network cannot be built again ({cause})") from cause
    remove_strides(net, spec.strides_removed)
    if "pruned" in entry:
        take_widths(net, state, spec.num_classes)
    fit_state(net, state, str(file), num_classes=-1)
    classifier = Classifier(net, entry["mean"], entry["std"])
    classifier.eval()
    return classifier


def _pruned(path: Path, model: LibraryModel) -> dict[str, Any]:
    """The `pruned` entry of a weights file of this network; empty if it is not pruned."""
    own = _own_entry(path, model)
    return {"pruned": own["pruned"]} if "pruned" in own else {}


def _own_entry(path: Path, model: LibraryModel) -> dict[str, Any]:
    """The manifest's `model` entry in a weights file that edgetl wrote of this network; empty in any other."""
    own = file_metadata(path).get("model")
    if not isinstance(own, dict) or (own.get("library"), own.get("name")) != (model.library, model.name):
        return {}
    return own


def _arguments(model: LibraryModel, config: ModelConfig, image_size: int) -> dict[str, Any]:
    if model.library != "timm":
        return {}
    import timm

    path = weights_file(config.weights)
    stated = file_metadata(path).get("timm_kwargs", {}) if path else {}
    arguments = {k: v for k, v in stated.items() if k in _FILE_ARGUMENTS}
    if getattr(timm.get_pretrained_cfg(model.name), "fixed_input_size", False):
        arguments["img_size"] = image_size
        # A transformer has no strides to remove: its patches shrink instead, to a grid of 8 x 8 as is usual for CIFAR.
        if config.weights == "none" and config.small_images == "auto" and image_size < 128:
            arguments["patch_size"] = max(1, image_size // 8)
    return arguments


def _create_for_training(config: ModelConfig, spec: ModelSpec, *, pretrained: bool) -> nn.Module:
    try:
        net = _create(spec, pretrained=pretrained, dropping=dropping_arguments(config, spec.library))
    except (RuntimeError, ValueError, TypeError) as cause:
        if refused := refused_dropping(config, spec.library, str(cause)):
            raise refused from cause
        raise ModelError(
            f"{config.model}: cannot be built for {spec.image_size} px and {spec.num_classes} classes ({cause})"
        ) from cause
    check_dropping(config, net)
    return net


def _create(spec: ModelSpec, *, pretrained: bool, dropping: Mapping[str, float] | None = None) -> nn.Module:
    ensure_torchvision()
    create = {"timm": _create_timm, "torchvision": _create_torchvision}[spec.library]
    net = create(spec, pretrained=pretrained, dropping=dropping or {})
    if spec.head_units:
        add_hidden_layer(net, spec.num_classes, spec.head_units)
    return net


def _create_timm(spec: ModelSpec, *, pretrained: bool, dropping: Mapping[str, float]) -> nn.Module:
    import timm

    arguments = {**spec.arguments, **dropping, "num_classes": spec.num_classes}
    if pretrained:
        arguments |= {"pretrained": True, "pretrained_cfg_overlay": {"file": str(hub_weights(spec.name))}}
    net: nn.Module = timm.create_model(spec.name, **arguments)
    if not (pretrained and timm.get_pretrained_cfg(spec.name).num_classes == spec.num_classes):
        start_small(net, spec.num_classes)
    return net


def _create_torchvision(spec: ModelSpec, *, pretrained: bool, dropping: Mapping[str, float]) -> nn.Module:
    from torchvision import models

    net: nn.Module = models.get_model(spec.name, weights=None, num_classes=spec.num_classes, **dropping)
    start_small(net, spec.num_classes)
    if pretrained:
        fit_state(net, _torchvision_state(spec.name), f"torchvision:{spec.name}", spec.num_classes)
    return net


def _torchvision_state(name: str) -> dict[str, torch.Tensor]:
    """Read torchvision's default weights of a model from PyTorch's cache, or download them."""
    from torchvision import models

    try:
        with redirect_stdout(sys.stderr):  # it prints about downloads to stdout, where our results go
            state: dict[str, torch.Tensor] = models.get_model_weights(name).DEFAULT.get_state_dict(progress=False)
    except Exception as cause:  # urllib, socket and hash errors all mean that the weights are not available
        raise unavailable(f"torchvision:{name}", cause) from cause
    return state
