"""How the run was made: the contract in words, the model, lineage, versions, files and stages."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from edgetl.recipe.checking import build
from edgetl.recipe.fields import Recipe
from edgetl.runner.contract import Contract
from edgetl.runs.folder import RunFolder

__all__ = [
    "OWN_STAGE",
    "Fact",
    "contract_steps",
    "facts_of",
    "files_of",
    "last_finished",
    "pruning",
    "recipe_made_from",
    "stages_of",
    "versions_of",
]

OWN_STAGE = "report"
"""Left out everywhere: a page that stated its own hash or duration would differ every time it is made."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Fact:
    """A name and a value; `full` is what a shortened value stands for."""

    name: str
    value: str
    full: str = ""


def contract_steps(contract: Contract) -> list[str]:
    """Say what happens to a file on its way to probabilities, step by step."""
    side = f"{contract.width} × {contract.height}"
    if contract.resize == "squash":
        resize = f"Resize to {side} pixels, whatever the aspect ratio"
    else:
        part = "" if contract.crop_fraction == 1 else f", keep its central {100 * contract.crop_fraction:g} % each way"
        resize = f"Crop the largest centred box of aspect ratio {side}{part}, and resize it to {side} pixels"
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (contract.mean, contract.std))
    return [
        "Decode with Pillow to 8-bit RGB; alpha is dropped.",
        "Apply the EXIF orientation.",
        f"{resize} ({contract.filter}, antialiased).",
        f"Pass it on as uint8 (N, {contract.height}, {contract.width}, 3): no scaling, no mean, no other layout.",
        f"Inside the model file: scale to 0..1, subtract the mean ({mean}), divide by the standard deviation ({std}), "
        "run the network, softmax.",
        f"The output is float32 probabilities (N, {len(contract.labels)}), one per class.",
    ]


def facts_of(data: dict[str, Any]) -> list[Fact]:
    """Flatten nested data to dotted names; shorten hashes, and keep only the last name of a path."""
    return [_fact(name, value) for name, value in _flat(data, "")]


def _flat(data: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for number, entry in enumerate(value, start=1):
                yield from _flat(entry, f"{prefix}{key}.{number}.")
        elif value is not None:
            yield f"{prefix}{key}", value


def _fact(name: str, value: Any) -> Fact:
    text = ", ".join(map(_plain, value)) if isinstance(value, list) else _plain(value)
    if _SHA256.fullmatch(text):
        return Fact(name, text[:12], text)
    return Fact(name, PurePath(text).name if name.endswith((".run", ".weights")) else text)


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def pruning(report: dict[str, Any]) -> str:
    """Say in a sentence what pruning did, or that it was dropped."""
    tried = f"{len(report['candidates'])} widths were measured"
    kept = next((each for each in report["candidates"] if each["kept"] == report["kept"]), None)
    if kept is None:
        return f"Pruning was asked for, but dropped: {report['why']}; {tried}."
    before, after = (each["parameters"] / 1e6 for each in (report["baseline"], kept))
    short = "" if report["reached"] else f" {report['why'][0].upper()}{report['why'][1:]}."
    return (
        f"During training, the student was pruned to {100 * kept['kept']:.0f} % of its channels, in multiples"
        f" of {report['multiple']}: from {before:.2f} to {after:.2f} million parameters, and to"
        f" {kept['latency_ratio']:.2f} of the time ({report['format']}, one thread, on the training machine:"
        f" {kept['p50_ms']:.3g} ms against {kept['unpruned_p50_ms']:.3g} ms); {report['wish']:g} was asked for, and"
        f" {tried}.{short}"
    )


def files_of(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Every file of the run with its stage, size and hash, by stage and name."""
    files = [{"name": name, **entry} for name, entry in manifest["files"].items() if entry["stage"] != OWN_STAGE]
    order = list(manifest["stages"])
    return sorted(files, key=lambda file: (order.index(file["stage"]), file["name"]))


def stages_of(manifest: dict[str, Any], prefix: str = "") -> list[dict[str, Any]]:
    """Name and seconds of every stage, in the order in which the stages ran."""
    records = manifest["stages"].items()
    return [{"name": prefix + name, "seconds": record["seconds"]} for name, record in records if name != OWN_STAGE]


def versions_of(manifest: dict[str, Any]) -> dict[str, str]:
    """Versions of the libraries that made the run; every version of a library that changed in between."""
    found: dict[str, list[str]] = {}
    for name, record in manifest["stages"].items():
        for library, version in record.get("versions", {}).items():
            if name != OWN_STAGE and version not in found.setdefault(library, []):
                found[library].append(version)
    return {library: ", ".join(versions) for library, versions in sorted(found.items())}


def recipe_made_from(folder: RunFolder) -> Recipe:
    """The recipe that the run's stages were made from, even if a different one was asked for since.

    Of what lies elsewhere on the disk, it has the name alone: a page is sent to others.

    Raises:
        ConfigError: A stage's record holds what no recipe can.
    """
    return build(Recipe, _without_places(folder.recipe_values()), "")


def _without_places(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_places(each) for key, each in value.items()}
    return PurePath(value).name if isinstance(value, str) and PurePath(value).is_absolute() else value


def last_finished(manifest: dict[str, Any]) -> str:
    """When the last stage before the report finished, as `2026-01-31 14:05 UTC`; empty if none has."""
    times = [record["finished"] for name, record in manifest["stages"].items() if name != OWN_STAGE]
    return max(times, default="")[:16].replace("T", " ") + (" UTC" if times else "")
