"""Pretrained weights: finding them, and fitting them to a network."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from edgetl.errors import ModelError, WeightsUnavailable
from edgetl.zoo.head import HiddenHead, without_hidden
from edgetl.zoo.torchvision_ops import ensure_torchvision

__all__ = [
    "cached_weights",
    "file_metadata",
    "file_shapes",
    "file_state",
    "fit_state",
    "hub_weights",
    "load_weights_file",
    "misfit",
    "unavailable",
    "weights_file",
]


_SHOWN = 3
_SIZED = ("pos_embed", "rel_pos", "relative_position", "attn_mask")


def weights_file(weights: str) -> Path | None:
    """The file that `weights` names, or None for 'default' and 'none'.

    Raises:
        ModelError: It is none of the three, or the file is not there.
    """
    if weights in ("default", "none"):
        return None
    path = Path(weights)
    if path.suffix != ".safetensors":
        raise ModelError(f"{weights}: weights are 'default', 'none' or a .safetensors file (no pickle is ever read)")
    if not path.is_file():
        raise ModelError(f"{weights}: no such weights file")
    return path


def file_metadata(path: Path) -> dict[str, Any]:
    """Metadata in the header of a safetensors file; values that are JSON are decoded.

    Raises:
        ModelError: The file is damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            texts: dict[str, str] = file.metadata() or {}
    except SafetensorError as cause:
        raise ModelError(f"{path}: damaged or no safetensors file ({cause})") from cause
    stated = {key: _decoded(text) for key, text in texts.items()}
    own = stated.get("model")
    if isinstance(own, dict) and own.keys() >= {"arguments", "mean", "std"}:  # written by edgetl
        stated |= {"timm_kwargs": own["arguments"], "mean": own["mean"], "std": own["std"]}
    for key, (is_right, expected) in _STATED.items():
        if key in stated and not is_right(stated[key]):
            raise ModelError(f"{path}: its header states {key} as {shorten(str(stated[key]), 40)}, not as {expected}")
    return stated


def _is_number_each(value: Any) -> bool:
    numbers = isinstance(value, list) and all(isinstance(each, int | float) for each in value)
    return numbers and len(value) == _CHANNELS and all(map(math.isfinite, value))


_CHANNELS = 3
_STATED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "mean": (_is_number_each, "three numbers"),
    "std": (lambda value: _is_number_each(value) and min(value) > 0, "three numbers above 0"),
    "timm_kwargs": (lambda value: isinstance(value, dict), "names and values"),
}
"""Entries of a header that are used, each with a check."""


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # plain text is a legal value
        return text


def fit_state(net: nn.Module, state: dict[str, torch.Tensor], origin: str, num_classes: int) -> bool:
    """Load weights into a network; only a head for another number of classes may be left out.

    Returns:
        Whether the head keeps its initial weights because its classes differ.

    Raises:
        ModelError: Anything but the head is missing, superfluous, or of another shape.
    """
    wanted = net.state_dict()
    found = {name: tuple(value.shape) for name, value in state.items()}
    if problem := misfit(net, found, num_classes):
        raise ModelError(f"{origin}: does not fit the model: {problem}")
    if problem := _unfit_numbers(wanted, state):
        raise ModelError(f"{origin}: {problem}")
    head = {name for name, value in wanted.items() if name in state and tuple(value.shape) != found[name]}
    # The network's own dictionary has the versions of its modules, which torchvision's MNASNet requires.
    wanted.update({k: v for k, v in state.items() if k not in head})
    net.load_state_dict(wanted)
    return bool(head)


def _unfit_numbers(wanted: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor]) -> str:
    """What is wrong with the numbers of weights, of the first tensor that has any fault; empty if nothing is."""
    for name, value in state.items():
        if name not in wanted or not wanted[name].is_floating_point():
            continue
        if not value.is_floating_point():
            return f"{name} holds {str(value.dtype).removeprefix('torch.')}, where the model has decimal numbers"
        if not torch.isfinite(value).all():
            return f"{name} holds numbers that are infinite or none (NaN). Take another copy of the file"
    return ""


def misfit(net: nn.Module, found: Mapping[str, tuple[int, ...]], num_classes: int, *, sized: bool = True) -> str:
    """How weights differ from what a network needs, the first tensors by name; empty if only the head does.

    Args:
        net: The network.
        found: Shapes of the weights.
        num_classes: Outputs of the network.
        sized: Whether tensors count whose shape depends on the size of the images, as positions of a transformer.
    """
    wanted = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    differing = [name for name in wanted if name in found and wanted[name] != found[name]]
    shapes = [
        f"{name}: {_shape(found[name])} in place of {_shape(wanted[name])}"
        for name in differing
        if wanted[name][:1] != (num_classes,) and (sized or not any(part in name for part in _SIZED))
    ]
    missing = [name for name in wanted if name not in found and not name.endswith("num_batches_tracked")]
    extra = sorted(set(found) - set(wanted), key=lambda name: (name.endswith("num_batches_tracked"), name))
    problems = [_counted(shapes, "of other shapes"), _counted(missing, "missing"), _counted(extra, "not part of it")]
    return ", ".join(filter(None, problems))


def _counted(names: list[str], problem: str) -> str:
    shown = ", ".join([*names[:_SHOWN], *(["..."] if len(names) > _SHOWN else [])])
    return f"{len(names)} tensor{'' if len(names) == 1 else 's'} {problem} ({shown})" if names else ""


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a number"


def file_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors of a safetensors file, from its header; without those of a hidden layer in the head."""
    with safe_open(path, "pt") as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118  no mapping
    return without_hidden(shapes)


def load_weights_file(net: nn.Module, path: Path, num_classes: int) -> bool:
    """Load a safetensors file into a network; see `fit_state`."""
    return fit_state(net, file_state(net, path), str(path), num_classes)


def file_state(net: nn.Module, path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a safetensors file; those of a hidden layer in the head if the network has one, too.

    Raises:
        ModelError: The file is damaged.
    """
    file_metadata(path)
    state, has_hidden = load_file(path), any(isinstance(module, HiddenHead) for module in net.modules())
    return state if has_hidden else without_hidden(state)


def cached_weights(name: str) -> Path | None:
    """A timm model's pretrained safetensors in the hub's cache; None if they are not there."""
    ensure_torchvision()
    import timm
    from huggingface_hub import try_to_load_from_cache

    cfg = timm.get_pretrained_cfg(name)
    if cfg is None or not cfg.hf_hub_id:
        return None
    cached = try_to_load_from_cache(cfg.hf_hub_id, cfg.hf_hub_filename or "model.safetensors")
    return Path(cached) if isinstance(cached, str) else None


def hub_weights(name: str) -> Path:
    """Find a timm model's pretrained safetensors in the hub's cache, or download them.

    Raises:
        WeightsUnavailable: There are none, or the hub is out of reach.
    """
    ensure_torchvision()
    import timm
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import logging

    cfg = timm.get_pretrained_cfg(name)
    if cfg is None or not cfg.hf_hub_id:
        raise unavailable(name, ValueError("timm has none for this model"))
    file = cfg.hf_hub_filename or "model.safetensors"
    if cached := cached_weights(name):
        return cached
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # only the final failure concerns the user, not the retries
    try:
        return Path(hf_hub_download(cfg.hf_hub_id, file))
    except Exception as cause:  # the hub raises many unrelated types, which mean the same to the user
        raise unavailable(name, cause) from cause


def unavailable(model: str, cause: BaseException) -> WeightsUnavailable:
    """The error for pretrained weights that are not available, with both ways out."""
    while deeper := cause.__cause__ or cause.__context__:  # the library wraps the plain reason in its own message
        cause = deeper
    reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0].rstrip(".")
    return WeightsUnavailable(
        f"{model}: pretrained weights are not available here ({reason}). Either start from random weights with"
        " '--weights none', or bring a file with '--weights FILE.safetensors' (where a teacher and a student are"
        " trained, with '--set teacher.weights=FILE.safetensors' or '--set student.weights=FILE.safetensors')"
    )
