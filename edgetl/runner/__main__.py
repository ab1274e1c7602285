"""The runner's command line: one JSON object on standard output, and 0 or 2."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from .backends.base import Session
from .commands import predict, profile_model, read_contract, read_list, time_model
from .errors import RunnerError

_PROGRAM = f"python -m {__package__}"
"""The runner goes by two names: `edgetl.runner`, and alone `edgetl_runner`."""

_ABOUT = """\
Run one model file that edgetl made, on the machine where this is started.

Needs Python, NumPy, Pillow and the runtime of the file: onnxruntime for .onnx, openvino for .xml, ai-edge-litert or
tflite-runtime for .tflite. How an image file becomes the model's input is read from the model itself.
"""
_AFTER = f"""\
Each command prints one JSON object. On an error that is {{"error": "what, where, what to do"}}, and the exit status
is 2.

examples:
  {_PROGRAM} predict model.w8a8.tflite --files images.json --out probabilities.npy
  {_PROGRAM} time model.fp32.onnx --files images.json --threads 4
  {_PROGRAM} profile model.w8a8.onnx --files images.json --threads 4
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command and print its JSON object; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        print(json.dumps(options.run(options)))
    except RunnerError as error:
        print(json.dumps({"error": str(error)}))
        return 2
    return 0


def _predict(options: argparse.Namespace) -> dict[str, Any]:
    contract = read_contract(options.contract) if options.contract else None
    session = Session(threads=options.threads)
    probabilities_NK, facts = predict(options.model, read_list(options.files), session, contract=contract)
    try:
        np.save(options.out, probabilities_NK)
    except OSError as cause:
        raise RunnerError(f"{options.out}: cannot be written ({cause.strerror or cause})") from cause
    return facts


def _time(options: argparse.Namespace) -> dict[str, Any]:
    return time_model(
        options.model,
        read_list(options.files),
        Session(threads=options.threads),
        warmup_runs=options.warmup,
        min_samples=options.min_samples,
        min_seconds=options.min_seconds,
        clock=time.perf_counter,
    )


def _profile(options: argparse.Namespace) -> dict[str, Any]:
    return profile_model(
        options.model,
        read_list(options.files),
        Session(threads=options.threads),
        warmup_runs=options.warmup,
        runs=options.runs,
    )


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(_PROGRAM, description=_ABOUT, epilog=_AFTER, formatter_class=raw)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    predicting = commands.add_parser(
        "predict",
        help="compute the probabilities of image files",
        description="Compute the probabilities of image files and write them as float32 (N, K), one row per file.",
    )
    _add_common(predicting)
    predicting.add_argument("--out", type=Path, required=True, metavar="PROBS.npy", help="where to write them")
    predicting.add_argument(
        "--contract", type=Path, metavar="FILE.json", help="how to read the images, instead of what the model carries"
    )
    predicting.set_defaults(run=_predict)
    timing = commands.add_parser(
        "time",
        help="time single inferences",
        description="Time inferences one by one, images taking turns: the runtime's call alone (infer_s), and with"
        " decoding, resizing and handing over (total_s). Prints raw seconds; the warm-up is left out.",
    )
    _add_common(timing)
    timing.add_argument("--warmup", type=_whole, default=10, metavar="R", help="untimed runs first (default 10)")
    timing.add_argument("--min-samples", type=_whole, default=64, metavar="S", help="fewest timed runs (default 64)")
    timing.add_argument(
        "--min-seconds", type=float, default=1.0, metavar="T", help="shortest timed period of each series (default 1)"
    )
    timing.set_defaults(run=_time)
    profiling = commands.add_parser(
        "profile",
        help="tell the time of each operator",
        description="Tell which operators the runtime executes, whether each computes in integers or in float, and its"
        " seconds over all runs, where the runtime keeps them. Times of a whole inference are those of 'time'.",
    )
    _add_common(profiling)
    profiling.add_argument("--warmup", type=_whole, default=10, metavar="W", help="runs that do not count (default 10)")
    profiling.add_argument("--runs", type=_whole, default=50, metavar="R", help="runs that do (default 50)")
    profiling.set_defaults(run=_profile)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL", help="a .onnx, .tflite or .xml file")
    parser.add_argument(
        "--files", type=Path, required=True, metavar="LIST.json", help="a JSON array of paths of image files"
    )
    parser.add_argument("--threads", type=_whole, default=1, metavar="N", help="threads of one inference (default 1)")


def _whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text}")
    return value


if __name__ == "__main__":
    sys.exit(main())
