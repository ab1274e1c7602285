"""The stages of a network from its input to its head.

A stage is what practitioners freeze or train as a whole, such as `layer3` of a ResNet or `blocks.4` of a MobileNetV2.
The stages are found by running the network once and noting which of its modules follow each other, so any network of
timm or torchvision has them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from edgetl.errors import ModelError
from edgetl.zoo.classifier import Classifier
from edgetl.zoo.head import head_of

__all__ = ["NetworkStage", "Unit", "find_stage", "stages_of", "units_of"]

_MOST = 0.9
"""A module with more than this part of the parameters is looked into: its children are the stages."""


@dataclass(frozen=True)
class NetworkStage:
    """Modules that follow each other, with all their parameters."""

    name: str
    """The name of its first module in the network."""

    modules: tuple[str, ...]
    """Names of its modules, in the order in which they run."""

    parameters: int
    multiply_adds: int
    """Multiplications of one image in convolutions and linear layers."""

    output_shape: tuple[int, ...]
    """Shape of its output for one image, without the batch."""


@dataclass
class Unit:
    """A module that runs as a whole between two others."""

    name: str
    module: nn.Module
    output_shape: tuple[int, ...] = ()
    """Without the batch."""

    multiply_adds: int = 0


def stages_of(classifier: Classifier, num_classes: int, side: int) -> list[NetworkStage]:
    """Find the stages of a network, without its head.

    Args:
        classifier: The network.
        num_classes: Its outputs.
        side: Height and width of its input, in pixels.
    """
    head = head_of(classifier.net, num_classes)
    own = set(head.modules()) if head else set()
    units = [unit for unit in units_of(classifier, side) if own.isdisjoint(unit.module.modules())]
    stages: list[list[Unit]] = []
    for unit in units:
        if not any(True for _ in unit.module.parameters()):
            continue  # an activation or a pool is no stage; it runs wherever its neighbours run
        if stages and _is_norm(unit.module):
            stages[-1].append(unit)
        else:
            stages.append([unit])
    return [_stage(each) for each in stages]


def find_stage(stages: Sequence[NetworkStage], name: str, model: str) -> int:
    """The position of the stage of a name; a whole number counts from the end, so '2' trains the last two.

    Raises:
        ModelError: There is no such stage; the message lists the names.
    """
    if name.isdigit() and 1 <= int(name) <= len(stages):
        return len(stages) - int(name)
    names = [stage.name for stage in stages]
    if name in names:
        return names.index(name)
    raise ModelError(
        f"{model}: has no stage {name!r}. Its stages are {', '.join(names)}; or give how many of the last, 1 to"
        f" {len(names)}. The head is trained anyway; for the head alone choose the strategy 'features'"
    )


def units_of(classifier: Classifier, side: int) -> list[Unit]:
    """Find the modules that follow each other, in the order in which they run, each with its output's shape."""
    was_training = classifier.training
    classifier.eval()
    work = _traced(classifier, side)
    classifier.train(was_training)
    total = sum(parameter.numel() for parameter in classifier.net.parameters())
    return list(_flattened(classifier.net, "", work, total))


def _traced(classifier: Classifier, side: int) -> dict[str, Unit]:
    """Every module that runs, in the order of the ends of their runs."""
    work: dict[str, Unit] = {}

    def noted(name: str, module: nn.Module) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            unit = work.setdefault(name, Unit(name, module))
            if isinstance(output, torch.Tensor):
                unit.output_shape = tuple(output.shape[1:])
                unit.multiply_adds += _multiply_adds(module, output)

        return hook

    named = [(name, module) for name, module in classifier.net.named_modules() if name]
    handles = [module.register_forward_hook(noted(name, module)) for name, module in named]
    try:
        with torch.inference_mode():
            classifier(torch.zeros((1, side, side, 3), dtype=torch.uint8))
    finally:
        for handle in handles:
            handle.remove()
    return work


def _flattened(module: nn.Module, prefix: str, work: dict[str, Unit], total: int) -> Iterator[Unit]:
    """The children of a module that ran, in the order in which they did; large ones give their own children."""
    names = [f"{prefix}{name}" for name, _ in module.named_children()]
    ran = [name for name in work if name in set(names)]
    for name in ran:
        unit = work[name]
        if _is_opened(unit, work, total):
            yield from _flattened(unit.module, f"{name}.", work, total)
        else:
            own = [other for key, other in work.items() if key == name or key.startswith(f"{name}.")]
            unit.multiply_adds = sum(other.multiply_adds for other in own) if len(own) > 1 else unit.multiply_adds
            yield unit


def _is_opened(unit: Unit, work: dict[str, Unit], total: int) -> bool:
    """Whether a module's children are units: it holds nearly everything, or is a sequence that changes the shape."""
    names = [f"{unit.name}.{name}" for name, _ in unit.module.named_children()]
    children = [work[name] for name in names if name in work]
    if len(children) < 2:
        return False
    if sum(parameter.numel() for parameter in unit.module.parameters()) > _MOST * total:
        return True
    with_parameters = [c for c in children if any(True for _ in c.module.parameters())]
    shapes = {child.output_shape for child in with_parameters}
    blocks = [c for c in with_parameters if any(True for _ in c.module.children())]
    return isinstance(unit.module, nn.Sequential) and len(shapes) > 1 and len(blocks) > 2


def _is_norm(module: nn.Module) -> bool:
    return all(parameter.ndim <= 1 for parameter in module.parameters())


def _multiply_adds(module: nn.Module, output: torch.Tensor) -> int:
    if isinstance(module, nn.Conv2d):
        return int(output[0].numel() * module.weight[0].numel())
    if isinstance(module, nn.Linear):
        return int(output[0].numel() * module.in_features)
    return 0


def _stage(units: Sequence[Unit]) -> NetworkStage:
    return NetworkStage(
        name=units[0].name,
        modules=tuple(unit.name for unit in units),
        parameters=sum(parameter.numel() for unit in units for parameter in unit.module.parameters()),
        multiply_adds=sum(unit.multiply_adds for unit in units),
        output_shape=units[-1].output_shape,
    )
