"""What each scheme gains in each format: time and size as parts of the float file's, and how far answers move.

A MobileNetV2 with real ImageNet weights, and a ViT-Tiny with random ones, whose time and size are those of trained
ones. What edgetl refuses is measured, too, so that a reason that no longer holds shows. Times are medians of single
calls that take turns in one process, on one thread. Writes `benchmarks/results/schemes-MACHINE.json`.

Run: `python benchmarks/schemes.py --weights FILE.safetensors --photos DIR`.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from real_network import Images, divergence_of, medians_by_turns, read_photos, real_contract, real_network
from results import write_result

from edgetl.devices.profiles import find_target
from edgetl.export.formats import SUFFIX
from edgetl.export.writing import write_artifact
from edgetl.quantize.formats import quantizer_for, width_for
from edgetl.quantize.planner import Planner
from edgetl.quantize.schemes import SchemeWriter, refusal
from edgetl.quantize.sweep import SweepSettings
from edgetl.recipe.fields import FORMATS, Format, Scheme
from edgetl.runner.backends import open_model
from edgetl.runner.backends.base import Session
from edgetl.runs.files import shipped_bytes
from edgetl.runs.quiet import quiet
from edgetl.zoo.classifier import Classifier
from edgetl.zoo.deployable import Deployable, deployable_of

_TARGET = find_target("linux-x86")
_CALIBRATION = 64
_SCHEMES: tuple[Scheme, ...] = ("w8a8", "fp16", "w8", "dynamic")


def main() -> None:
    """Write every scheme in every format, and compare with float."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="MobileNetV2 of timm, 1001 classes, padding 'same'")
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs")
    asked = parser.parse_args()
    photos_NHWC = read_photos(real_contract(), asked.photos)
    networks = {"mobilenetv2": real_network(asked.weights), "vit_tiny": _transformer()}
    found = {name: _measured(deployable, photos_NHWC) for name, deployable in networks.items()}
    write_result("schemes", {"networks": found})


def _transformer() -> Deployable:
    import timm

    torch.manual_seed(0)
    net = timm.create_model("vit_tiny_patch16_224", num_classes=len(real_contract().labels))
    torch.nn.init.normal_(net.head.weight, std=0.1)
    return deployable_of(Classifier(net, (0.5,) * 3, (0.5,) * 3))


def _measured(deployable: Deployable, photos_NHWC: Images) -> dict[str, Any]:
    """By format and scheme: what it is to float, and whether edgetl writes it."""
    found = {}
    planner = Planner(deployable, real_contract(), photos_NHWC[:_CALIBRATION])
    for name in FORMATS:
        with tempfile.TemporaryDirectory() as folder:
            files = _files(name, deployable, planner, Path(folder))
            medians = medians_by_turns(files, photos_NHWC)
            shown = photos_NHWC[_CALIBRATION:]
            answers = {label: open_model(file, Session(threads=1)).run(shown) for label, file in files.items()}
            for label, file in files.items():
                found[f"{name}: {label}"] = {
                    "median_ms": round(medians[label], 3),
                    "time_to_float": round(medians[label] / medians["fp32"], 3),
                    "size_to_float": round(shipped_bytes(file) / shipped_bytes(files["fp32"]), 3),
                    "divergence": round(divergence_of(answers["fp32"], answers[label]), 6),
                    "refused": "" if label == "fp32" else refusal(label, name, planner.traced),
                }
    return found


def _files(name: Format, deployable: Deployable, planner: Planner, folder: Path) -> dict[str, Path]:
    """Float and every scheme that somebody can write, by edgetl where it can."""
    files = {label: folder / f"{label}{SUFFIX[name]}" for label in ("fp32", *_SCHEMES)}
    source, contract, width = files["fp32"], real_contract(), width_for(name, _TARGET)
    with quiet():
        write_artifact(name, deployable, contract, source, _TARGET)
        quantizer = quantizer_for(name, source, planner.traced, planner.probes_NHWC)
        writer = SchemeWriter(planner, contract)
        for scheme in ("fp16", "w8", *(() if name == "openvino" else ("dynamic",))):
            writer.write(scheme, quantizer, width, files[scheme])
        quantizer.write(planner.plan(SweepSettings(width=width)), contract, files["w8a8"])
    return {label: file for label, file in files.items() if file.is_file()}


if __name__ == "__main__":
    main()
