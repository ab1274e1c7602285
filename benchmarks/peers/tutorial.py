"""Transfer learning as in PyTorch's tutorial, all of the network or its head alone; print one line of JSON.

From https://docs.pytorch.org/tutorials/beginner/transfer_learning_tutorial.html: SGD at 0.001 with momentum 0.9, a
tenth of the rate every 7 of 25 epochs, batches of 4, random crops and flips. The tutorial keeps the epoch that is best
on its validation images; here all images are learned from and the last epoch is kept, which at a thousandth of the rate
is hardly another. Run: `python benchmarks/peers/tutorial.py --data DIR --model mobilenetv2 --weights FILE --size 128`.
"""

import argparse
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from transfer_common import Images, Task, network, parser_of, run_peer

from edgetl.runner.contract import load_image

_EPOCHS, _STEP_EPOCHS, _DECAY = 25, 7, 0.1
_RATE, _MOMENTUM = 0.001, 0.9
_BATCH, _WORKERS = 4, 2


class _Crops(Dataset[tuple[torch.Tensor, int]]):
    """Random crops of images, with their classes."""

    def __init__(self, images: Images, side: int, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        from torchvision import transforms as t

        self._images = images
        steps = [t.RandomResizedCrop(side), t.RandomHorizontalFlip(), t.ToTensor(), t.Normalize(mean, std)]
        self._transform = t.Compose(steps)

    def __len__(self) -> int:
        return len(self._images.files)

    def __getitem__(self, position: int) -> tuple[torch.Tensor, int]:
        return self._transform(load_image(self._images.files[position])), int(self._images.labels_N[position])


def main() -> None:
    """Run it."""
    parser = parser_of(__doc__)
    parser.add_argument("--frozen", action="store_true", help="train the head alone, as a fixed feature extractor")
    parser.add_argument("--epochs", type=int, default=_EPOCHS, help="with fewer, the rate falls sooner")
    run_peer(parser.parse_args(), _learn)


def _learn(task: Task, args: argparse.Namespace) -> tuple[nn.Module, dict[str, Any]]:
    classifier, width = network(task)
    net = classifier.net.requires_grad_(not args.frozen)
    net.classifier = nn.Linear(width, len(task.contract.labels))
    contract = task.contract
    crops = _Crops(task.train, contract.height, contract.mean, contract.std)
    loader = DataLoader(crops, batch_size=_BATCH, shuffle=True, num_workers=_WORKERS)
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=_RATE, momentum=_MOMENTUM)
    step_epochs = max(1, round(_STEP_EPOCHS * args.epochs / _EPOCHS))
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=step_epochs, gamma=_DECAY)
    for _ in range(args.epochs):
        _epoch(net, loader, optimizer)
        scheduler.step()
    return classifier, {"epochs": args.epochs}


def _epoch(net: nn.Module, loader: Any, optimizer: torch.optim.Optimizer) -> None:
    net.train()  # with a frozen body, too, as in the tutorial
    for images_NCHW, labels_N in loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images_NCHW), labels_N).backward()
        optimizer.step()


if __name__ == "__main__":
    main()
