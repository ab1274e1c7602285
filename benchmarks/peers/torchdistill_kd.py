"""Distil a student with torchdistill, as its image classification example does; print one line of JSON.

The configuration is that of its published KD run (ImageNet, ResNet-34 to ResNet-18): SGD, a step down by 10 after 30,
60 and 90 % of the training, half cross-entropy and half KL divergence at temperature 1. Run, for example:
`python benchmarks/peers/torchdistill_kd.py --data DIR --teacher-model resnet50 --teacher-weights FILE.safetensors
--student mobilenetv2_050 --size 96 --seconds 600`.
"""

import argparse
import time
from importlib.metadata import version
from typing import Any

import torch
from common import Budget, build_net, device_of, layout, parse, run_peer, tuned_rate
from torch import nn

_MILESTONES, _GAMMA = (0.3, 0.6, 0.9), 0.1
_LOG_EVERY = 100
_OWN = {
    "temperature": 1.0,
    "alpha": 0.5,
    "smoothing": 0.0,
    "learning_rate": lambda batch_size: 0.1 * batch_size / 256,  # published for batches of 256
    "weight_decay": 1e-4,
}


def main() -> None:
    """Run it."""
    run_peer("torchdistill", version("torchdistill"), parse(__doc__, _OWN), _train)


def _train(args: argparse.Namespace, teacher: nn.Module, budget: Budget) -> tuple[nn.Module, float]:
    from torchdistill.common.main_util import set_seed
    from torchdistill.core.distillation import get_distillation_box
    from torchdistill.misc.log import set_basic_log_config

    set_basic_log_config()
    set_seed(args.seed)
    student = build_net(args.student, args)
    _register(args, budget)
    box = get_distillation_box(
        teacher, student, {"train": _training_images(args)}, _config(args), device_of(), None, False, 1
    )
    start, epoch = time.perf_counter(), 0
    budget.start()
    while not budget.spent:
        box.pre_epoch_process(epoch=epoch)
        _train_one_epoch(box, args, budget, epoch)
        box.post_epoch_process()
        epoch += 1
    seconds = time.perf_counter() - start
    box.clean_modules()
    return student, seconds


def _train_one_epoch(box: Any, args: argparse.Namespace, budget: Budget, epoch: int) -> None:
    """The loop of the library's example, with its meters."""
    from torchdistill.misc.log import MetricLogger, SmoothedValue

    meters = MetricLogger(delimiter="  ")
    meters.add_meter("lr", SmoothedValue(window_size=1, fmt="{value}"))
    for images, labels, extra in meters.log_every(box.train_data_loader, _LOG_EVERY, f"Epoch: [{epoch}]"):
        budget.begin_step(len(images))
        images_NCHW = images.to(device_of(), memory_format=layout(args))
        loss = box.forward_process(images_NCHW, labels.to(device_of()), extra)
        box.post_forward_process(loss=loss)
        meters.update(loss=loss.item(), lr=box.optimizer.param_groups[0]["lr"])
        if budget.spent:
            return


def _register(args: argparse.Namespace, budget: Budget) -> None:
    """Register two names for `_config`: a schedule by the budget, and AdamW without decay of biases and norms."""
    from torchdistill.optim.registry import register_optimizer, register_scheduler

    def rate(_step: int) -> float:
        if args.schedule == "tuned":
            return tuned_rate(args, budget.share) / args.learning_rate
        return _GAMMA ** sum(budget.share >= milestone for milestone in _MILESTONES)

    def by_budget(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LambdaLR:
        return torch.optim.lr_scheduler.LambdaLR(optimizer, rate)

    def sparing_adamw(net: nn.Module, lr: float, weight_decay: float) -> torch.optim.AdamW:
        matrices = [p for p in net.parameters() if p.ndim > 1]
        vectors = [p for p in net.parameters() if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=lr)

    register_scheduler(by_budget)
    register_optimizer(sparing_adamw)


def _config(args: argparse.Namespace) -> dict[str, Any]:
    """The `train` part of a torchdistill configuration, which its users write in YAML."""
    return {
        "num_epochs": 100,  # not read: the loop is ours, and ends with the budget
        "train_data_loader": {
            "dataset_id": "train",
            "sampler": {"class_or_func": torch.utils.data.RandomSampler},
            "kwargs": {
                "batch_size": args.batch_size,
                "num_workers": args.workers,
                "pin_memory": device_of().type == "cuda",
                "drop_last": False,
            },
        },
        "teacher": {"forward_proc": "forward_batch_only", "sequential": [], "requires_grad": False},
        "student": {"forward_proc": "forward_batch_only", "sequential": [], "requires_grad": True},
        "optimizer": _optimizer(args),
        "scheduler": {"key": "by_budget", "kwargs": {}, "scheduling_step": 1},
        "criterion": {
            "key": "WeightedSumLoss",
            "kwargs": {"sub_terms": {"kd": {"criterion": _kd_loss(args), "weight": 1.0}}},
        },
    }


def _optimizer(args: argparse.Namespace) -> dict[str, Any]:
    both = {"lr": args.learning_rate, "weight_decay": args.weight_decay}
    if args.schedule == "tuned":
        return {"key": "sparing_adamw", "kwargs": both, "filters_params": False}
    return {"key": "SGD", "kwargs": {**both, "momentum": 0.9}}


def _kd_loss(args: argparse.Namespace) -> dict[str, Any]:
    return {
        "key": "KDLoss",
        "kwargs": {
            "student_module_path": ".",
            "student_module_io": "output",
            "teacher_module_path": ".",
            "teacher_module_io": "output",
            "temperature": args.temperature,
            "alpha": args.alpha,
            "reduction": "batchmean",
            "label_smoothing": args.smoothing,
        },
    }


def _training_images(args: argparse.Namespace) -> Any:
    from torchvision import transforms as t
    from torchvision.datasets import ImageFolder

    steps: list[Any] = [t.RandomResizedCrop([args.size, args.size], scale=(args.min_area, 1.0))]
    if args.flip:
        steps.append(t.RandomHorizontalFlip(0.5))
    if args.colour:
        steps.append(t.ColorJitter(args.colour, args.colour, args.colour))
    return ImageFolder(str(args.data / "train"), t.Compose([*steps, t.ToTensor(), t.Normalize(args.mean, args.std)]))


if __name__ == "__main__":
    main()
