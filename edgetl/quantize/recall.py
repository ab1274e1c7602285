"""What quantization has worked out before: plans and judgements, by everything that determines them.

So a quantization that was killed goes on where it was, and another target with the same limits takes seconds. A run
folder may come from anywhere: what does not read as a plan or a judgement is worked out anew.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from edgetl.quantize.grids import Grid
from edgetl.quantize.judge import Judgement, Score
from edgetl.quantize.plan import Plan, RoundedLayer
from edgetl.runs.files import hash_of, write_atomic

__all__ = ["FORGETFUL", "Recall", "digest_of"]

_SCHEMA = 1
_PARTS = ("codes", "scales_O", "bias_O")


class Recall:
    """Keeps results in a folder.

    Args:
        folder: Where they are kept; None to keep nothing.
        about: What all of them depend on.
    """

    def __init__(self, folder: Path | None, about: Any = None) -> None:
        self._folder, self._about = folder, about
        self._used: set[str] = set()

    def plan(self, key: Any, make: Callable[[], Plan]) -> Plan:
        """The plan for a key, made if it is not known."""
        if not self._folder:
            return make()
        file = self._file("plan", key, ".safetensors")
        found = _read_plan(file)
        if found is None:
            found = make()
            self._write(file, _plan_bytes(found))
        return found

    def has_plan(self, key: Any) -> bool:
        """Whether the plan for a key is known; it is not read."""
        return self._folder is not None and self._file("plan", key, ".safetensors").is_file()

    def judgement(self, key: Any, make: Callable[[], Judgement]) -> Judgement:
        """The judgement for a key, made if it is not known."""
        if not self._folder:
            return make()
        file = self._file("judged", key, ".json")
        found = _read_judgement(file)
        if found is None:
            found = make()
            self._write(file, json.dumps(asdict(found)).encode())
        return found

    def forget_others(self) -> None:
        """Remove what was not asked for, but for as much of it as was: it may be of another target, and asked again."""
        if self._folder and self._folder.is_dir():
            others = [file for file in self._folder.iterdir() if file.name not in self._used]
            others.sort(key=lambda file: file.stat().st_mtime_ns, reverse=True)
            for file in others[len(self._used) :]:
                file.unlink()

    def _file(self, kind: str, key: Any, suffix: str) -> Path:
        assert self._folder
        name = f"{kind}-{hash_of([_SCHEMA, self._about, key])[:32]}{suffix}"
        self._used.add(name)
        return self._folder / name

    def _write(self, file: Path, content: bytes) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, content)


def digest_of(plan: Plan) -> str:
    """SHA-256 of all that a plan says."""
    return hashlib.sha256(_plan_bytes(plan)).hexdigest()


FORGETFUL = Recall(None)
"""Keeps nothing."""


def _plan_bytes(plan: Plan) -> bytes:
    tensors = {
        f"{group}/{name}/{part}": getattr(layer, part).clone(memory_format=torch.contiguous_format)
        for group, layers in (("layers", plan.layers), ("alone", plan.alone))
        for name, layer in layers.items()
        for part in _PARTS
    }
    stated = {
        "layers": list(plan.layers),
        "alone": list(plan.alone),
        "grids": {name: [grid.scale, grid.zero_point] for name, grid in plan.grids.items()},
        "pixels": plan.pixels,
        "activations": plan.activations,
        "dead": list(plan.dead),
    }
    return save(tensors, {"plan": json.dumps(stated)})


def _read_plan(file: Path) -> Plan | None:
    """A plan that was kept; None if there is none that can be read."""
    if not file.is_file():
        return None
    try:
        with safe_open(file, "pt") as opened:
            stated = json.loads(opened.metadata()["plan"])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  no mapping
        return Plan(
            _layers("layers", stated["layers"], tensors),
            {name: Grid(float(scale), int(zero)) for name, (scale, zero) in stated["grids"].items()},
            pixels=bool(stated["pixels"]),
            activations=stated["activations"],
            alone=_layers("alone", stated["alone"], tensors),
            dead=tuple(stated["dead"]),
        )
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _layers(group: str, names: list[str], tensors: Mapping[str, torch.Tensor]) -> dict[str, RoundedLayer]:
    return {name: RoundedLayer(*(tensors[f"{group}/{name}/{part}"] for part in _PARTS)) for name in names}


def _read_judgement(file: Path) -> Judgement | None:
    if not file.is_file():
        return None
    try:
        stated = json.loads(file.read_bytes())
        return Judgement(Score(**stated["score"]), float(stated["p50_ms"]), int(stated["size_bytes"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
