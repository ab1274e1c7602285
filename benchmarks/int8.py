"""int8 of a real network on real photographs: answers that change, seconds it takes, and latency, beside the libraries.

The photographs are split into halves; each is calibrated on once, and the answers on the other one are compared with
those of the float file in the same runtime: on each photograph as it is, mirrored, and shifted two ways, since an
answer more or less of a hundred says little. Latencies are medians of single calls that take turns in one process, as
ratios to the float file. Writes `benchmarks/results/int8-MACHINE.json`. With `--test`, all photographs are calibrated
on, and those of another folder are compared.

Run: `python benchmarks/int8.py --weights FILE.safetensors --photos DIR [--test DIR] [--formats onnx,openvino,tflite]`.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peers.int8_peers import PEERS
from real_network import Images, divergence_of, medians_by_turns, read_photos, real_contract, real_network
from results import write_result

from edgetl.devices.profiles import find_target
from edgetl.export.formats import SUFFIX
from edgetl.export.writing import write_artifact
from edgetl.quantize.formats import quantizer_for, width_for
from edgetl.quantize.planner import Planner
from edgetl.quantize.sweep import SweepSettings
from edgetl.recipe.fields import Format
from edgetl.runner.backends import open_model
from edgetl.runner.backends.base import Session
from edgetl.runner.contract import Contract
from edgetl.runs.quiet import quiet
from edgetl.zoo.deployable import Deployable

_LIMITS = {"flips": 0.015, "seconds": 300, "latency_to_fastest_peer": 1.05, "best_int8_to_best_float": 0.67}


def main() -> None:
    """Quantize with edgetl and its peers, and compare."""
    options = _options()
    contract = real_contract()
    deployable = real_network(options.weights)
    photos = read_photos(contract, options.photos)
    halves = [(photos, read_photos(contract, options.test))] if options.test else [
        (photos[::2], photos[1::2]), (photos[1::2], photos[::2]),
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        floats = {name: Path(folder, f"float{SUFFIX[name]}") for name in options.formats}
        with quiet():
            for name, file in floats.items():
                write_artifact(name, deployable, contract, file, find_target(options.target))
        rounds = [
            _round(deployable, contract, floats, half, options.target, Path(folder, str(number)))
            for number, half in enumerate(halves)
        ]
        latency = _latencies(floats, Path(folder, "0"), photos)
    figures = {
        "photographs": [len(part) for part in halves[0]],
        "target": options.target,
        "flips": {name: [each["flips"][name] for each in rounds] for name in rounds[0]["flips"]},
        "mean_divergence": {name: [each["divergence"][name] for each in rounds] for name in rounds[0]["flips"]},
        "seconds": [each["seconds"] for each in rounds],
        "latency": latency,
        "limits": _LIMITS,
    }
    write_result("int8" if not options.test else "int8-test", figures)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="MobileNetV2 of timm, 1001 classes, padding 'same'")
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--test", type=Path, help="folder of other photographs to compare answers on")
    parser.add_argument("--target", default="linux-x86", help="device profile (default linux-x86)")
    parser.add_argument("--formats", type=lambda text: text.split(","), default=list(PEERS), help="default all")
    return parser.parse_args()


def _round(
    deployable: Deployable,
    contract: Contract,
    floats: dict[Format, Path],
    half: tuple[Images, Images],
    target: str,
    folder: Path,
) -> dict[str, Any]:
    """Quantize on one half and compare on the other."""
    folder.mkdir()
    calibration, test = half[0], _views(half[1])
    start = time.perf_counter()
    with quiet():
        planner = Planner(deployable, contract, calibration)
        widths = {name: width_for(name, find_target(target)) for name in floats}
        plans = {width: planner.plan(SweepSettings(width)) for width in set(widths.values())}
        for name, source in floats.items():
            quantizer = quantizer_for(name, source, planner.traced, planner.probes_NHWC)
            quantizer.write(plans[widths[name]], contract, folder / f"{name}.edgetl{SUFFIX[name]}")
    seconds = {"edgetl, all formats": round(time.perf_counter() - start, 1)}
    flips, divergence = {}, {}
    for name, source in floats.items():
        reference_NK = _answers(source, test)
        for peer, quantize in PEERS[name].items():
            start = time.perf_counter()
            with quiet():
                quantize(source, calibration, folder / f"{name}.{peer}{SUFFIX[name]}")
            seconds[f"{name}: {peer}"] = round(time.perf_counter() - start, 1)
        for label in ("edgetl", *PEERS[name]):
            answers_NK = _answers(folder / f"{name}.{label}{SUFFIX[name]}", test)
            flips[f"{name}: {label}"] = round(float((answers_NK.argmax(1) != reference_NK.argmax(1)).mean()), 5)
            divergence[f"{name}: {label}"] = round(divergence_of(reference_NK, answers_NK), 6)
    return {"flips": flips, "divergence": divergence, "seconds": seconds}


def _views(images_NHWC: Images) -> Images:
    """Each photograph as it is, mirrored, and shifted by a sixteenth towards two corners, its edges drawn out."""
    return np.concatenate([images_NHWC, images_NHWC[:, :, ::-1], _shifted(images_NHWC, 1), _shifted(images_NHWC, -1)])


def _shifted(images_NHWC: Images, direction: int) -> Images:
    height, width = images_NHWC.shape[1:3]
    rows = (np.arange(height) + direction * height // 16).clip(0, height - 1)
    return images_NHWC[:, rows][:, :, (np.arange(width) + direction * width // 16).clip(0, width - 1)]


def _answers(file: Path, images_NHWC: Images) -> NDArray[np.float32]:
    return open_model(file, Session(threads=2)).run(images_NHWC)


def _latencies(floats: dict[Format, Path], folder: Path, images_NHWC: Images) -> dict[str, Any]:
    """Median milliseconds of one image, all files of a format by turns.

    On one thread: on more, the pools of a format's sessions, which wait actively, would take the cores from each other.
    """
    medians: dict[str, float] = {}
    for name, source in floats.items():
        files = {"float": source, **{k: folder / f"{name}.{k}{SUFFIX[name]}" for k in ("edgetl", *PEERS[name])}}
        medians |= {f"{name}: {label}": ms for label, ms in medians_by_turns(files, images_NHWC).items()}
    best_float = min(ms for label, ms in medians.items() if label.endswith("float"))
    best_int8 = min(ms for label, ms in medians.items() if label.endswith("edgetl"))
    fastest_peer = {name: min(medians[f"{name}: {peer}"] for peer in PEERS[name]) for name in floats}
    return {
        "threads": 1,
        "median_ms": {label: round(ms, 3) for label, ms in medians.items()},
        "to_fastest_peer": {n: round(medians[f"{n}: edgetl"] / fastest_peer[n], 3) for n in floats},
        "best_int8_to_best_float": round(best_int8 / best_float, 3),
    }


if __name__ == "__main__":
    main()
