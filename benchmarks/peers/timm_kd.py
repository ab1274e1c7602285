"""Distil a student with timm, as its training script does with `--kd-model-name`; print one line of JSON.

Everything has that script's defaults: SGD with Nesterov momentum at 0.1 per 256 images, a cosine over 300 epochs with 5
for the warm-up (here over the budget, with the same fraction), label smoothing of 0.1, and a KL divergence of equal
weight at temperature 4. Run, for example: `python benchmarks/peers/timm_kd.py --data DIR --teacher-model resnet50
--teacher-weights FILE.safetensors --student mobilenetv2_050 --size 96 --seconds 600`.
"""

import argparse
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import torch
from common import Budget, build_net, class_names, device_of, layout, parse, run_peer, tuned_rate
from torch import nn

_EPOCHS, _WARMUP_EPOCHS, _WARMUP_RATE = 300, 5, 1e-5
_TICKS_PER_EPOCH = 1000
"""Resolution of the budget for a scheduler that counts updates."""

_LOG_EVERY = 50
_OWN = {
    "temperature": 4.0,
    "alpha": None,  # both terms have the weight 1
    "smoothing": 0.1,
    "learning_rate": lambda batch_size: 0.1 * batch_size / 256,
    "weight_decay": 2e-5,
}


def main() -> None:
    """Run it."""
    run_peer("timm", version("timm"), parse(__doc__, _OWN), _train)


def _train(args: argparse.Namespace, teacher: nn.Module, budget: Budget) -> tuple[nn.Module, float]:
    from timm.utils import random_seed, setup_default_logging

    setup_default_logging()
    random_seed(args.seed, 0)
    student = build_net(args.student, args)
    loader = _training_loader(args)
    if len(loader) == 0:  # it drops the last, smaller batch
        raise SystemExit(f"there are fewer than {args.batch_size} training images")
    task = _task(args, student, teacher)
    optimizer = _optimizer(args, task.get_trainable_module())
    set_rate = _rate_setter(args, optimizer)
    start, epoch = time.perf_counter(), 0
    budget.start()
    while not budget.spent:
        _train_one_epoch(task, loader, optimizer, set_rate, args, budget, epoch)
        epoch += 1
    return student, time.perf_counter() - start


def _train_one_epoch(
    task: Any,
    loader: Any,
    optimizer: torch.optim.Optimizer,
    set_rate: Callable[[float], None],
    args: argparse.Namespace,
    budget: Budget,
    epoch: int,
) -> None:
    """The loop of timm's script, with its meter."""
    from timm.utils import AverageMeter

    losses = AverageMeter()
    task.train()
    optimizer.zero_grad()
    for step, (images, labels) in enumerate(loader):
        budget.begin_step(len(images))
        images_NCHW = images.contiguous(memory_format=layout(args))
        loss = task(images_NCHW, labels)["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.update(loss.item(), len(images))
        set_rate(budget.share)
        if step % _LOG_EVERY == 0:
            rate = optimizer.param_groups[0]["lr"]
            print(f"Train: {epoch} [{step}/{len(loader)}]  loss: {losses.avg:.4f}  lr: {rate:.3e}")
        if budget.spent:
            return


def _task(args: argparse.Namespace, student: nn.Module, teacher: nn.Module) -> Any:
    from timm.task import ClassificationTask, LogitDistillationTask

    if args.alone:
        criterion = torch.nn.CrossEntropyLoss(label_smoothing=args.smoothing)
        return ClassificationTask(student, criterion, device=device_of())
    return LogitDistillationTask(
        student_model=student,
        teacher_model=teacher,
        criterion_kwargs={"smoothing": args.smoothing},
        task_loss_weight=args.alpha,
        temperature=args.temperature,
        device=device_of(),
    )


def _optimizer(args: argparse.Namespace, net: nn.Module) -> torch.optim.Optimizer:
    from timm.optim import create_optimizer_v2

    name = "adamw" if args.schedule == "tuned" else "sgd"
    optimizer: torch.optim.Optimizer = create_optimizer_v2(
        net, opt=name, lr=args.learning_rate, weight_decay=args.weight_decay, momentum=0.9
    )
    return optimizer


def _rate_setter(args: argparse.Namespace, optimizer: torch.optim.Optimizer) -> Callable[[float], None]:
    """A function that sets the learning rate for the spent share of the budget; it is set for 0 already."""
    from timm.scheduler import create_scheduler_v2

    def one_cycle(share: float) -> None:
        for group in optimizer.param_groups:
            group["lr"] = tuned_rate(args, share)

    if args.schedule == "tuned":
        one_cycle(0.0)
        return one_cycle
    scheduler, _epochs = create_scheduler_v2(
        optimizer,
        sched="cosine",
        num_epochs=_EPOCHS,
        warmup_epochs=_WARMUP_EPOCHS,
        warmup_lr=_WARMUP_RATE,
        step_on_epochs=False,
        updates_per_epoch=_TICKS_PER_EPOCH,
    )
    return lambda share: scheduler.step_update(round(share * _EPOCHS * _TICKS_PER_EPOCH))


def _training_loader(args: argparse.Namespace) -> Any:
    from timm.data import create_dataset, create_loader

    # timm would sort the classes '2' before '10', which no teacher of ours has learned.
    class_map = {name: number for number, name in enumerate(class_names(args))}
    images = create_dataset(
        "", root=str(args.data), split="train", is_training=True, class_map=class_map, seed=args.seed
    )
    return create_loader(
        images,
        input_size=(3, args.size, args.size),
        batch_size=args.batch_size,
        is_training=True,
        scale=(args.min_area, 1.0),
        hflip=0.5 if args.flip else 0.0,
        color_jitter=args.colour or None,
        interpolation="random",
        mean=args.mean,
        std=args.std,
        num_workers=args.workers,
        device=device_of(),
    )


if __name__ == "__main__":
    main()
