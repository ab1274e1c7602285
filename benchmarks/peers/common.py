"""What the peer trainers share: command line, budget, test accuracy, and the line that they print.

A peer trains with its own library; nothing here takes part in a training step. Its learning rate follows the spent
share of the budget, so that every schedule ends exactly when the time is up, on any machine.
"""

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgetl.train.schedule import one_cycle
from edgetl.zoo.torchvision_ops import ensure_torchvision
from edgetl.zoo.weights import file_metadata

__all__ = ["Budget", "Train", "build_net", "class_names", "device_of", "layout", "parse", "run_peer", "tuned_rate"]

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_TUNED = {"learning_rate": 0.002, "weight_decay": 0.02}
"""edgetl's own, for a student from random weights; AdamW."""

_WARMUP_FRACTION = 0.25
_TICKS = 1_000_000
_EVALUATION_BATCH = 64
_PATHS = ("data", "teacher_weights")
"""Arguments that name paths of this machine, which do not belong in a result."""


@dataclass
class Budget:
    """How long to train: a number of seconds, or of steps."""

    seconds: float | None
    steps: int | None
    images_done: int = 0
    steps_done: int = 0
    first_step_seconds: float = 0.0
    _start: float = field(default=0.0, repr=False)

    def start(self) -> None:
        """Start the clock."""
        self._start = time.perf_counter()

    def begin_step(self, images: int) -> None:
        """Count a step that begins; schedulers called within it count it as done."""
        if self.steps_done == 1:
            self.first_step_seconds = self.elapsed
        self.steps_done += 1
        self.images_done += images

    @property
    def elapsed(self) -> float:
        """Seconds since the start, 0 before it."""
        return time.perf_counter() - self._start if self._start else 0.0

    @property
    def share(self) -> float:
        """Spent share of the budget, as a fraction of 1."""
        done = self.elapsed / self.seconds if self.seconds else self.steps_done / (self.steps or 1)
        return min(done, 1.0)

    @property
    def spent(self) -> bool:
        """Whether the budget is used up."""
        return self.share >= 1


Train = Callable[[argparse.Namespace, nn.Module, Budget], tuple[nn.Module, float]]
"""Trains a student of this teacher within the budget; returns it with the seconds taken."""


def parse(description: str, own: dict[str, Any]) -> argparse.Namespace:
    """Read the command line.

    Args:
        description: Of the program, for `--help`.
        own: The library's defaults of temperature, alpha, smoothing, learning_rate and weight_decay;
            `learning_rate` is called with the batch size.
    """
    parser = argparse.ArgumentParser(description=description)
    _add_task(parser)
    _add_training(parser)
    args = parser.parse_args()
    defaults = {**own, "learning_rate": own["learning_rate"](args.batch_size)}
    if args.schedule == "tuned":
        defaults |= _TUNED
    for name, value in defaults.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if not args.teacher_eval_only and (args.seconds is None) == (args.steps is None):
        parser.error("give either --seconds or --steps")
    return args


def _add_task(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with train/CLASS and test/CLASS")
    add("--teacher-model", required=True, help="timm name")
    add("--teacher-weights", required=True, help="FILE.safetensors of the timm network, or 'none' for random weights")
    add("--teacher-eval-only", action="store_true", help="score the teacher on the test images, and train nothing")
    add("--alone", action="store_true", help="train the student on labels, without the teacher (timm only)")
    add("--student", required=True, help="timm name; it starts from random weights")
    add("--size", type=int, required=True, help="input side in pixels")
    add("--mean", type=_triple, default=_IMAGENET_MEAN, help="M,M,M of values scaled to 0..1 (default ImageNet's)")
    add("--std", type=_triple, default=_IMAGENET_STD, help="S,S,S of values scaled to 0..1 (default ImageNet's)")
    add("--eval-crop", type=float, default=1.0, help="fraction of the resized test image that the central crop keeps")
    add("--workers", type=int, default=2, help="processes that decode images")
    add("--threads", type=int, default=len(os.sched_getaffinity(0)), help="threads of torch (default: all cores)")


def _add_training(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--seconds", type=float, help="training time")
    add("--steps", type=int, help="number of training steps")
    add("--schedule", choices=("default", "tuned"), default="default", help="the library's own, or edgetl's one cycle")
    add("--learning-rate", type=float, help="highest learning rate (default: the schedule's)")
    add("--weight-decay", type=float, help="(default: the schedule's)")
    add("--temperature", type=float, help="divides the logits of both (default: the library's)")
    add("--alpha", type=float, help="weight of the true labels; the teacher has the rest (default: the library's)")
    add("--smoothing", type=float, help="label smoothing (default: the library's)")
    add("--batch-size", type=int, default=32, help="images per step")
    add("--seed", type=int, default=0, help="seed of everything")
    add("--min-area", type=float, default=0.5, help="smallest fraction of the area that a random crop keeps")
    add("--flip", action=argparse.BooleanOptionalAction, default=True, help="mirror half of the images")
    add("--colour", type=float, default=0.2, help="largest change of brightness, contrast and saturation")
    add("--channels-last", action="store_true", help="memory format of networks and images (no library's default)")


def _triple(text: str) -> tuple[float, float, float]:
    first, second, third = (float(part) for part in text.split(","))
    return first, second, third


def run_peer(peer: str, version: str, args: argparse.Namespace, train: Train) -> None:
    """Train, and print the result as one line of JSON; everything else goes to stderr."""
    ensure_torchvision()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    with contextlib.redirect_stdout(sys.stderr):
        figures = _figures(args, train)
    settings = {name: value for name, value in vars(args).items() if name not in _PATHS}
    print(json.dumps({"peer": peer, "version": version, **figures, "settings": settings}))


def _figures(args: argparse.Namespace, train: Train) -> dict[str, Any]:
    teacher = _teacher(args)
    budget, epoch_images = Budget(args.seconds, args.steps), len(_image_folder(args, "train", None))
    if args.teacher_eval_only:
        return {**_summary(budget, 0.0, epoch_images), "test_top1": None, "teacher_top1": _test_top1(teacher, args)}
    student, seconds = train(args, teacher, budget)
    summary = _summary(budget, seconds, epoch_images)
    return {**summary, "test_top1": _test_top1(student, args), "teacher_top1": None}


def _teacher(args: argparse.Namespace) -> nn.Module:
    """The network of the weights file, with the padding that its header names."""
    if args.teacher_weights == "none":
        return build_net(args.teacher_model, args).eval()
    from safetensors.torch import load_file

    stated = file_metadata(Path(args.teacher_weights))
    for name in ("mean", "std"):
        if tuple(stated.get(name, getattr(args, name))) != tuple(getattr(args, name)):
            raise SystemExit(f"the teacher's weights are for --{name} {','.join(map(str, stated[name]))}")
    teacher = build_net(args.teacher_model, args, **stated.get("timm_kwargs", {}))
    teacher.load_state_dict(load_file(args.teacher_weights))
    return teacher.eval()  # torchdistill does not change the mode of a teacher


def _summary(budget: Budget, seconds: float, epoch_images: int) -> dict[str, Any]:
    return {
        "images": budget.images_done,
        "seconds": round(seconds, 3),
        "images_per_second": round(budget.images_done / seconds, 3) if seconds else None,
        "first_step_seconds": round(budget.first_step_seconds, 3),
        "steps": budget.steps_done,
        "epochs": round(budget.images_done / epoch_images, 4),
    }


def build_net(name: str, args: argparse.Namespace, **arguments: Any) -> nn.Module:
    """Build a timm network with random weights for the classes and the normalisation of the command line."""
    import timm

    overlay = {"mean": args.mean, "std": args.std}  # timm's distillation reads the normalisation from there
    classes = len(class_names(args))
    net: nn.Module = timm.create_model(name, num_classes=classes, pretrained_cfg_overlay=overlay, **arguments)
    return net.to(device_of(), memory_format=layout(args))


def class_names(args: argparse.Namespace) -> list[str]:
    """The training classes in the order of the outputs, sorted by name."""
    return sorted(folder.name for folder in (args.data / "train").iterdir() if folder.is_dir())


def device_of() -> torch.device:
    """The device to train on."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def layout(args: argparse.Namespace) -> torch.memory_format:
    """Memory format of networks and images."""
    return torch.channels_last if args.channels_last else torch.contiguous_format


def tuned_rate(args: argparse.Namespace, share: float) -> float:
    """Learning rate of edgetl's one cycle when `share` of the budget is spent."""
    return one_cycle(round(share * _TICKS), _TICKS + 1, peak=args.learning_rate, warmup_fraction=_WARMUP_FRACTION)


def _test_top1(net: nn.Module, args: argparse.Namespace) -> float:
    """Top-1 on the test images, resized by the shorter side and centre-cropped; the same for every peer."""
    from torchvision import transforms as t

    side = round(args.size / args.eval_crop)
    steps = [t.Resize(side), t.CenterCrop(args.size), t.ToTensor(), t.Normalize(args.mean, args.std)]
    images = _image_folder(args, "test", t.Compose(steps))
    if images.classes != class_names(args):
        raise SystemExit("the classes of train and test differ")
    loader = torch.utils.data.DataLoader(images, batch_size=_EVALUATION_BATCH, num_workers=args.workers)
    net.eval()
    right = 0
    with torch.inference_mode():
        for images_NCHW, labels_N in loader:
            logits_NK = net(images_NCHW.to(device_of(), memory_format=layout(args)))
            right += int((logits_NK.argmax(1).cpu() == labels_N).sum())
    return right / len(images)


def _image_folder(args: argparse.Namespace, split: str, transform: Any) -> Any:
    from torchvision.datasets import ImageFolder

    return ImageFolder(str(args.data / split), transform)
