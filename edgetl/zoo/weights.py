"""Pretrained weights: how they are found, and what may differ between them and the network."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from edgetl.errors import ModelError, WeightsUnavailable
from edgetl.zoo.torchvision_ops import ensure_torchvision

__all__ = ["file_metadata", "fit_state", "hub_weights", "load_weights_file", "unavailable", "weights_file"]


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
    """What a safetensors header says about itself: values that are JSON are decoded.

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
    if not (isinstance(own, dict) and own.keys() >= {"arguments", "mean", "std"}):  # not written by edgetl
        return stated
    return {**stated, "timm_kwargs": own["arguments"], "mean": own["mean"], "std": own["std"]}


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:  # plain text is a legal value
        return text


def fit_state(net: nn.Module, state: dict[str, torch.Tensor], origin: str, num_classes: int) -> bool:
    """Load weights into a network; only a head for another number of classes may be left out.

    Returns:
        Whether the head was left at its random start because its classes differ.

    Raises:
        ModelError: Anything but the head is missing, left over, or of another shape.
    """
    wanted = net.state_dict()
    head = {k for k, v in wanted.items() if k in state and v.shape != state[k].shape and v.shape[:1] == (num_classes,)}
    misfits = [k for k in wanted if k in state and k not in head and wanted[k].shape != state[k].shape]
    missing = [k for k in wanted if k not in state and not k.endswith("num_batches_tracked")]
    extra = [k for k in state if k not in wanted]
    for problem, keys in (("other shapes", misfits), ("missing", missing), ("not part of the model", extra)):
        if keys:
            raise ModelError(f"{origin}: does not fit the model: {len(keys)} tensors {problem}, such as {keys[0]}")
    # Into the network's own dictionary, which knows the versions of its modules: torchvision's MNASNet wants them.
    wanted.update({k: v for k, v in state.items() if k not in head})
    net.load_state_dict(wanted)
    return bool(head)


def load_weights_file(net: nn.Module, path: Path, num_classes: int) -> bool:
    """Load a safetensors file into a network; see `fit_state`."""
    file_metadata(path)
    return fit_state(net, load_file(path), str(path), num_classes)


def hub_weights(name: str) -> Path:
    """Find a timm model's pretrained safetensors in the hub's cache, or download them.

    Raises:
        WeightsUnavailable: There are none, or the hub cannot be reached.
    """
    ensure_torchvision()
    import timm
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.utils import logging

    cfg = timm.get_pretrained_cfg(name)
    if cfg is None or not cfg.hf_hub_id:
        raise unavailable(name, ValueError("timm has none for this model"))
    file = cfg.hf_hub_filename or "model.safetensors"
    if isinstance(cached := try_to_load_from_cache(cfg.hf_hub_id, file), str):
        return Path(cached)
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # its retries are not the user's concern; the final failure is
    try:
        return Path(hf_hub_download(cfg.hf_hub_id, file))
    except Exception as cause:  # the hub raises many unrelated types; every one means the same to the user
        raise unavailable(name, cause) from cause


def unavailable(model: str, cause: BaseException) -> WeightsUnavailable:
    """The error for pretrained weights that cannot be had, with both ways out."""
    while deeper := cause.__cause__ or cause.__context__:  # the library's own words wrap the plain reason
        cause = deeper
    reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0].rstrip(".")
    return WeightsUnavailable(
        f"{model}: pretrained weights cannot be had here ({reason}). Either start from random weights with"
        " '--weights none', or bring a file with '--weights FILE.safetensors' (where a teacher and a student are"
        " trained, with '--set teacher.weights=FILE.safetensors' or '--set student.weights=FILE.safetensors')"
    )
