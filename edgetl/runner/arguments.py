"""What is typed after `python -m edgetl_runner`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from .errors import RunnerError
from .images import find_images, read_list

__all__ = ["parse"]

_PROGRAM = f"python -m {__package__}"
"""The runner goes by two names: `edgetl.runner`, and alone `edgetl_runner`."""

_ABOUT = """\
Run one model file that edgetl made, on the machine where this is started.

Needs Python, NumPy, Pillow and the runtime of the file: onnxruntime for .onnx, openvino for .xml, ai-edge-litert or
tflite-runtime for .tflite. How an image file becomes the model's input is read from the model itself.
"""
_AFTER = f"""\
Images are files (JPEG, PNG, WebP, BMP), and folders: all images below them, sorted. Each command prints one JSON
object. On an error that is {{"error": "what, where, what to do"}}, and the exit status is 2.

examples:
  {_PROGRAM} predict model.w8a8.tflite cat.jpg
  {_PROGRAM} predict model.w8a8.tflite photos --out probabilities.npy
  {_PROGRAM} verify model.w8a8.tflite photos --reference probabilities.npy
  {_PROGRAM} time model.fp32.onnx --threads 4
  {_PROGRAM} profile model.w8a8.onnx photos --threads 4
"""
_OR_NOISE = " Without images, on noise of the input's size."
_DEFAULT_TOP = 5


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read a command, its options and its images.

    Args:
        arguments: What follows the program's name; None stands for what was typed.

    Returns:
        The options of one command, `command` its name, and `files`, the images found, empty where none were given.

    Raises:
        RunnerError: It is no command of the runner, or images that were given cannot be found.
    """
    options, more = _parser().parse_known_args(arguments)
    # argparse takes images only where the first one stands; those after an option are left over.
    unknown = [each for each in more if each.startswith("-")]
    if unknown:
        _refuse(options.command, f"unrecognized arguments: {' '.join(unknown)}")
    options.files = _files(options, [*options.images, *map(Path, more)])
    if options.command == "predict":
        _settle_top(options)
    return options


def _files(options: argparse.Namespace, images: list[Path]) -> list[Path]:
    if options.list and images:
        _refuse(options.command, "give images or --files, not both")
    if not options.list and not images and options.command in ("predict", "verify"):
        _refuse(options.command, "give images: files, folders, or --files LIST.json")
    return read_list(options.list) if options.list else find_images(images)


def _settle_top(options: argparse.Namespace) -> None:
    if options.out and options.top:
        _refuse(options.command, "--top prints labels, --out writes all probabilities. Give one of them")
    options.top = options.top or _DEFAULT_TOP


def _refuse(command: str, problem: str) -> NoReturn:
    raise _wrong_usage(f"{_PROGRAM} {command}", problem)


class _Parser(argparse.ArgumentParser):
    """Answers wrong usage as the runner answers everything."""

    def error(self, message: str) -> NoReturn:
        raise _wrong_usage(self.prog, message)


def _wrong_usage(program: str, problem: str) -> RunnerError:
    return RunnerError(f"{program}: {problem}. '{program} --help' shows its usage")


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = _Parser(_PROGRAM, description=_ABOUT, epilog=_AFTER, formatter_class=raw)
    commands = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")
    for add in (_add_predict, _add_verify, _add_time, _add_profile):
        add(commands)
    return parser


def _add_predict(commands: Any) -> None:
    parser = commands.add_parser(
        "predict",
        help="say what images show",
        description="Print the most probable labels of each image, or write the probabilities of all classes as"
        " float32 (N, K), one row per image.",
    )
    _add_common(parser)
    parser.add_argument(
        "--top", type=_whole, metavar="K", help=f"labels printed for each image (default {_DEFAULT_TOP})"
    )
    parser.add_argument("--out", type=Path, metavar="PROBS.npy", help="write all probabilities here instead")
    parser.add_argument(
        "--contract", type=Path, metavar="FILE.json", help="how to read the images, instead of what the model carries"
    )


def _add_verify(commands: Any) -> None:
    parser = commands.add_parser(
        "verify",
        help="compare with recorded probabilities",
        description="Compare the model's probabilities with recorded ones, image by image. The exit status is 0 if all"
        " are inside the bound, and 1 if not.",
    )
    _add_common(parser)
    parser.add_argument(
        "--reference", type=Path, required=True, metavar="PROBS.npy", help="probabilities (N, K), one row per image"
    )
    parser.add_argument(
        "--max-difference",
        type=_fraction,
        default=1e-3,
        metavar="D",
        help="largest difference of one probability, 0 to 1 (default 0.001)",
    )


def _add_time(commands: Any) -> None:
    parser = commands.add_parser(
        "time",
        help="time single inferences",
        description="Time inferences one by one, images taking turns: the runtime's call alone (infer_s), and with"
        " decoding, resizing and handing over (total_s). Prints raw seconds; the warm-up is left out." + _OR_NOISE,
    )
    _add_common(parser)
    parser.add_argument("--warmup", type=_whole, default=10, metavar="R", help="untimed runs first (default 10)")
    parser.add_argument("--min-samples", type=_whole, default=64, metavar="S", help="fewest timed runs (default 64)")
    parser.add_argument(
        "--min-seconds", type=float, default=1.0, metavar="T", help="shortest timed period of each series (default 1)"
    )


def _add_profile(commands: Any) -> None:
    parser = commands.add_parser(
        "profile",
        help="tell the time of each operator",
        description="Tell which operators the runtime executes, whether each computes in integers or in float, and its"
        " seconds over all runs, where the runtime keeps them. Times of a whole inference are those of 'time'."
        + _OR_NOISE,
    )
    _add_common(parser)
    parser.add_argument("--warmup", type=_whole, default=10, metavar="W", help="runs that do not count (default 10)")
    parser.add_argument("--runs", type=_whole, default=50, metavar="R", help="runs that do (default 50)")


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL", help="a .onnx, .tflite or .xml file")
    parser.add_argument(
        "images", type=Path, nargs="*", default=[], metavar="IMAGE", help="image files, and folders of them"
    )
    parser.add_argument(
        "--files", dest="list", type=Path, metavar="LIST.json", help="a JSON array of paths of image files instead"
    )
    parser.add_argument("--threads", type=_whole, default=1, metavar="N", help="threads of one inference (default 1)")


def _whole(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text}")
    return value


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text}")
    return value
