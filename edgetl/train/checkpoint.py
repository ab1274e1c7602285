"""Where a killed training goes on: weights and optimizer as safetensors, the rest as JSON, both written atomically."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save

from edgetl.artifact import sha256_of, write_atomic

__all__ = ["Checkpoint", "load_checkpoint", "save_checkpoint"]

_NOTE = "state.json"
_NOTE_KEYS = {"inputs", "file", "sha256", "epochs_done", "records"}


@dataclass(frozen=True)
class Checkpoint:
    """The state after a whole number of epochs."""

    epochs_done: int
    records: list[dict[str, float]]


def save_checkpoint(
    folder: Path, inputs: str, state: Checkpoint, model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Keep the state; the one before stays valid until this one is complete.

    Args:
        folder: Holds the checkpoints of one stage.
        inputs: Hash of what the training depends on; only the same training may continue from here.
        state: Epochs and their records.
        model: Its parameters and buffers are kept.
        optimizer: Its per-parameter tensors are kept; the learning rate is a function of the step.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"epoch-{state.epochs_done:05d}.safetensors"
    # Serialised in memory: a full disk then fails as an OSError of ours, not as some error of the library.
    write_atomic(file, save(_tensors(model, optimizer)))
    note = {
        "inputs": inputs,
        "file": file.name,
        "sha256": sha256_of(file),
        "epochs_done": state.epochs_done,
        "records": state.records,
    }
    write_atomic(folder / _NOTE, json.dumps(note))
    for old in folder.glob("epoch-*.safetensors"):
        if old != file:
            old.unlink()


def load_checkpoint(
    folder: Path, inputs: str, model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> Checkpoint | None:
    """Restore the last state of the same training into `model` and `optimizer`.

    Returns:
        What was restored; None if there is nothing, or what is there belongs to another training or is damaged.
    """
    note = _read_note(folder)
    if note is None or note["inputs"] != inputs:
        return None
    file = folder / str(note["file"])
    if not file.is_file() or sha256_of(file) != note["sha256"]:
        return None
    tensors = load(file.read_bytes())
    model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    _restore(optimizer, {k.removeprefix("optimizer."): v for k, v in tensors.items() if k.startswith("optimizer.")})
    return Checkpoint(int(note["epochs_done"]), list(note["records"]))


def _read_note(folder: Path) -> dict[str, Any] | None:
    file = folder / _NOTE
    if not file.is_file():
        return None
    try:
        note = json.loads(file.read_bytes())
    except ValueError:  # damaged, like weights whose hash differs: the training starts again
        return None
    return note if isinstance(note, dict) and note.keys() >= _NOTE_KEYS else None


def _tensors(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    kept = {f"model.{k}": v.contiguous() for k, v in model.state_dict().items()}
    for number, slots in optimizer.state_dict()["state"].items():
        kept |= {f"optimizer.{number}.{slot}": value.contiguous() for slot, value in slots.items()}
    return kept


def _restore(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    slots: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        number, _, slot = key.partition(".")
        slots.setdefault(int(number), {})[slot] = value
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
