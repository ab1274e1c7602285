"""Pretrained weights: finding them, and fitting them to a network."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from edgetl.errors import ModelError, WeightsUnavailable
from edgetl.zoo.torchvision_ops import ensure_torchvision

__all__ = [
    "cached_weights",
    "file_metadata",
    "fit_state",
    "hub_weights",
    "load_weights_file",
    "unavailable",
    "weights_file",
]


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
        Whether the head keeps its initial weights because its classes differ.

    Raises:
        ModelError: Anything but the head is missing, superfluous, or of another shape.
    """
    wanted = net.state_dict()
    head = {k for k, v in wanted.items() if k in state and v.shape != state[k].shape and v.shape[:1] == (num_classes,)}
    misfits = [k for k in wanted if k in state and k not in head and wanted[k].shape != state[k].shape]
    missing = [k for k in wanted if k not in state and not k.endswith("num_batches_tracked")]
    extra = [k for k in state if k not in wanted]
    for problem, keys in (("other shapes", misfits), ("missing", missing), ("not part of the model", extra)):
        if keys:
            raise ModelError(f"{origin}: does not fit the model: {len(keys)} tensors {problem}, such as {keys[0]}")
    # The network's own dictionary has the versions of its modules, which torchvision's MNASNet requires.
    wanted.update({k: v for k, v in state.items() if k not in head})
    net.load_state_dict(wanted)
    return bool(head)


def load_weights_file(net: nn.Module, path: Path, num_classes: int) -> bool:
    """Load a safetensors file into a network; see `fit_state`."""
    file_metadata(path)
    return fit_state(net, load_file(path), str(path), num_classes)


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
