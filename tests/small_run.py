"""Runs of a small network on the embedded digits, made once and shared, as the stages themselves leave them.

`base` is the session's own folder, `tmp_path_factory.getbasetemp()`.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from edgetl.chain.plan import Parent, PlannedRun
from edgetl.chain.running import execute
from edgetl.data.digits import digits_folder
from edgetl.devices.profiles import find_target
from edgetl.recipe.checking import build
from edgetl.recipe.fields import Recipe
from edgetl.recipe.networks import ModelConfig
from edgetl.recipe.presets import digits_recipe
from edgetl.runner.contract import Contract
from edgetl.runner.telemetry import switch_off_telemetry
from edgetl.runs.files import sha256_of
from edgetl.runs.folder import RunFolder
from edgetl.runs.manifest import MANIFEST_SCHEMA, Role
from edgetl.runs.reporter import Reporter
from edgetl.runs.stage import StageContext
from edgetl.zoo.build import build_classifier

switch_off_telemetry()  # tests import OpenVINO themselves
# Two threads that wait for each other on a busy machine take minutes for what one does in seconds.
torch.set_num_threads(1)

_SETTINGS = {
    "teacher": {"model": "test_resnet", "weights": "none", "epochs": 3, "learning_rate": 0.01},
    "student": {"model": "test_resnet", "weights": "none", "epochs": 4, "learning_rate": 0.01},
    "quantize": {"calibration_images": 64},
}

# A hundredth of the multiplications that quantizing the other one takes, whose layers are wide.
_EDGE = {"model": "test_efficientnet", "epochs": 4}


def recipe(**sections: Any) -> Recipe:
    """The recipe of the digits with a small network; `sections` add or replace fields, also of the recipe itself."""
    data: dict[str, Any] = digits_recipe() | _SETTINGS
    changed = {
        name: data.get(name, {}) | fields if isinstance(fields, dict) else fields for name, fields in sections.items()
    }
    return build(Recipe, data | changed, "")


def made(
    settings: Recipe,
    out: Path,
    role: Role,
    stages: tuple[str, ...],
    reporter: Reporter | None = None,
    *,
    teachers: tuple[RunFolder, ...] = (),
    again: tuple[str, ...] = (),
) -> RunFolder:
    """Run stages of one run folder, in order, as a plan of one run does."""
    parents = tuple(Parent("teacher", teacher.path) for teacher in teachers)
    return execute([PlannedRun(role, out, settings, stages, parents)], reporter or Reporter(), again=again)


@contextmanager
def user_cache(base: Path) -> Iterator[None]:
    """Keep the digits in a folder of the tests' own while inside."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(base / "user-cache"))
        yield


@cache
def trained(base: Path) -> Path:
    """A run after `data` and `finetune`: about 98 % of the test digits are right."""
    out = base / "small-trained"
    with user_cache(base):
        made(recipe(), out, "teacher", ("data", "finetune"))
    return out


@cache
def quantized(base: Path) -> Path:
    """A run after `quantize`, in every format, of a network of the operators that edge networks have."""
    out = base / "small-quantized"
    with user_cache(base):
        made(recipe(teacher=_EDGE), out, "teacher", ("data", "finetune", "export", "quantize"))
    return out


@cache
def colours(base: Path) -> Path:
    """A folder of two classes of 24 noisy images: more red, more blue."""
    rng = np.random.default_rng(0)
    for channel, label in ((0, "red"), (2, "blue")):
        folder = base / "colours" / label
        folder.mkdir(parents=True)
        for number in range(24):
            image_HWC = rng.integers(0, 160, (12, 12, 3))
            image_HWC[..., channel] += 60
            Image.fromarray(image_HWC.astype(np.uint8)).save(folder / f"{number:02}.png")
    return base / "colours"


@cache
def few_digits(base: Path) -> Path:
    """A folder of 24 images of each of the digits 0 to 3."""
    place = base / "few-digits"
    with user_cache(base):
        for folder in sorted(digits_folder().iterdir())[:4]:
            (place / folder.name).mkdir(parents=True)
            for file in sorted(folder.iterdir())[:24]:
                shutil.copy(file, place / folder.name)
    return place


@cache
def uneven_digits(base: Path) -> Path:
    """A folder of 24 images of each of the digits 0 and 2, and of 6 of the digit 1."""
    place = base / "uneven-digits"
    with user_cache(base):
        for folder in sorted(digits_folder().iterdir())[:3]:
            (place / folder.name).mkdir(parents=True)
            for file in sorted(folder.iterdir())[: 6 if folder.name == "1" else 24]:
                shutil.copy(file, place / folder.name)
    return place


@cache
def weights_of_digits(base: Path) -> dict[str, str]:
    """Weights files of test_resnet: `whole` knows the digits; two channels speak in the last stage of `damaged`."""
    tensors = load_file(trained(base) / "model.safetensors")
    header = {name: json.dumps(value) for name, value in {"mean": [0.5] * 3, "std": [0.5] * 3}.items()}
    files = {}
    for name, change in (("whole", lambda _, value: value), ("damaged", _silenced)):
        files[name] = str(base / f"{name}.safetensors")
        save_file({key: change(key, value).contiguous() for key, value in tensors.items()}, files[name], header)
    return files


def _silenced(name: str, value: torch.Tensor) -> torch.Tensor:
    if not name.startswith("layer4") or not name.endswith((".weight", ".bias")) or value.ndim != 1:
        return value
    kept = torch.arange(len(value)) < 2
    return torch.where(kept, value, torch.full_like(value, 0.0 if name.endswith(".weight") else 0.2))


def untrained(place: Path, model: str, labels: int = 4, side: int = 16) -> RunFolder:
    """A run of a network with random weights, as far as an export reads it."""
    classifier, entry = build_classifier(ModelConfig(model=model, weights="none"), labels, side, seed=1)
    _spread_statistics(classifier)
    with torch.no_grad():
        classifier.net.get_classifier().weight.mul_(30)  # an undecided head would hide what differs before it
    save_file(
        {name: value.contiguous() for name, value in classifier.net.state_dict().items()}, place / "model.safetensors"
    )
    contract = Contract(tuple(f"class {number}" for number in range(labels)), side, side, resize="squash")
    return run_of(place, model=entry, contract=contract.to_dict())


def run_of(place: Path, stages: dict[str, Any] | None = None, **facts: Any) -> RunFolder:
    """A run folder of what lies there, as if stages had kept it: each has the files that its record names.

    Files that no record names belong to `distill`.
    """
    records = {name: {"files": [], **record} for name, record in (stages or {}).items()}
    named = {file: name for name, record in records.items() for file in record["files"]}
    files = {
        path.name: {"sha256": sha256_of(path), "bytes": path.stat().st_size, "stage": named.get(path.name, "distill")}
        for path in place.iterdir()
        if path.is_file() and path.name != "manifest.json"
    }
    empty = {"schema_version": MANIFEST_SCHEMA, "role": "student", "parents": [], "recipe": {}, "metrics": {}}
    return RunFolder(place, {**empty, "stages": records, "files": files, **facts})


def context(folder: RunFolder, out: Path, settings: Recipe | None = None, target: str = "linux-x86") -> StageContext:
    """The context of a stage that reads `folder` and writes `out`."""
    return StageContext(settings or recipe(), find_target(target), folder, out, Reporter(), inputs="")


def _spread_statistics(network: torch.nn.Module) -> None:
    """Give every bias, scale and statistic a value of its own: zeros and ones would hide a fold that goes wrong."""
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        if parameter.ndim == 1:
            parameter.data.add_(torch.empty_like(parameter).uniform_(-0.1, 0.1, generator=generator))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
