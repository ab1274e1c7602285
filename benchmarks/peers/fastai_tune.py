"""Fine-tune with fastai: `vision_learner`'s body, head and rates, and `fine_tune(5)`; print one line of JSON.

The body is given with its weights, since `vision_learner` would download others. All images are learned from; nothing
is kept for validation. A batch has fastai's 64 images, or half as many and so on down to 8, until an epoch has ten
steps. Run: `python benchmarks/peers/fastai_tune.py --data DIR --model mobilenetv2 --weights FILE --size 128`, with a
Python that has fastai.
"""

import argparse
from importlib.metadata import version
from typing import Any

import torch
from torch import nn
from transfer_common import Task, network, parser_of, run_peer

from edgetl.zoo.classifier import Classifier

_LARGEST_BATCH, _SMALLEST_BATCH, _LEAST_STEPS = 64, 8, 10
_WORKERS = 2


def main() -> None:
    """Run it."""
    parser = parser_of(__doc__)
    parser.add_argument("--epochs", type=int, default=5, help="of fine_tune, after its one epoch of the head")
    run_peer(parser.parse_args(), _learn)


def _learn(task: Task, args: argparse.Namespace) -> tuple[nn.Module, dict[str, Any]]:
    from fastai.vision.all import Learner, TimmBody, add_head, default_split, set_seed

    set_seed(args.seed)
    classifier, width = network(task)
    model = add_head(TimmBody(classifier.net), width, len(task.contract.labels))
    batch_size = _batch_size(len(task.train.files))
    learner = Learner(_loaders(task, batch_size), model, splitter=default_split)
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(args.epochs)
    figures = {"epochs": args.epochs, "batch_size": batch_size, "fastai": version("fastai")}
    return Classifier(model, task.contract.mean, task.contract.std), figures


def _batch_size(images: int) -> int:
    size = _LARGEST_BATCH
    while size > _SMALLEST_BATCH and images < _LEAST_STEPS * size:
        size //= 2
    return size


def _loaders(task: Task, batch_size: int) -> Any:
    """fastai's augmentation at its defaults, on images of the same side."""
    from fastai.vision.all import (
        CategoryBlock,
        DataBlock,
        ImageBlock,
        Normalize,
        Resize,
        aug_transforms,
        parent_label,
    )

    contract = task.contract
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock(vocab=list(contract.labels), sort=False)),
        get_y=parent_label,
        splitter=lambda files: (list(range(len(files))), []),
        item_tfms=Resize(contract.height),
        batch_tfms=[*aug_transforms(), Normalize.from_stats(contract.mean, contract.std)],
    )
    return block.dataloaders(task.train.files, bs=batch_size, num_workers=_WORKERS, device=torch.device("cpu"))


if __name__ == "__main__":
    main()
