"""A network cut in two between its stages: what the first part says is computed once, the second is trained."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from edgetl.errors import ModelError
from edgetl.zoo.classifier import Classifier
from edgetl.zoo.stages import NetworkStage, Unit, units_of

__all__ = ["Cut", "cut"]


@dataclass(frozen=True)
class Cut:
    """A network in two parts: `tail(head_output)` equals the network's answer."""

    tail: nn.Module
    """From activations `float (N, ...)` to logits `(N, K)`; it shares its weights with the network."""

    last: str
    """Name of the last module before the cut, whose output is handed over."""

    activation_shape: tuple[int, ...]
    """Shape of what is handed over for one image."""


def cut(classifier: Classifier, stages: Sequence[NetworkStage], first: int, side: int) -> Cut:
    """Cut a network before a stage.

    In the tail, every module before the cut is replaced by one that returns zeros of the right shape at once, and the
    last of them by one that returns the activations. Whatever the network's own code does between its modules
    (reshaping, adding positions, pooling) is thus done as ever.

    Args:
        classifier: The network, in eval mode.
        stages: Its stages.
        first: Position of the first stage of the tail; from 1.
        side: Height and width of its input, in pixels.

    Raises:
        ModelError: The stages do not simply follow each other there, as an input skips the cut.
    """
    last = stages[first - 1].modules[-1]
    units = units_of(classifier, side)
    names = [unit.name for unit in units]
    before = units[: names.index(last) + 1]
    whole_NK, handed_over = _answered(classifier, last, side)
    tail = _Tail(classifier, before, side, _format_of(handed_over))
    if not _is_same(tail, handed_over, whole_NK):
        raise ModelError(
            f"{type(classifier.net).__name__}: cannot be trained from {stages[first].name!r} on alone, since something"
            " skips the stages before it. Choose another stage, or train all with strategy=full"
        )
    return Cut(tail, last, before[-1].output_shape)


class _Tail(nn.Module):
    """The part of a classifier behind a cut."""

    def __init__(
        self, classifier: Classifier, before: Sequence[Unit], side: int, memory_format: torch.memory_format
    ) -> None:
        super().__init__()
        self._memory_format = memory_format
        self._recall = _Recall(before[-1].module)
        self._side = side
        net = classifier.net
        for unit in before[:-1]:
            net = _with_module(net, unit.name, _Zeros(unit))
        self.net = _with_module(net, before[-1].name, self._recall)

    def forward(self, activations: torch.Tensor) -> torch.Tensor:
        self._recall.value = activations.float().contiguous(memory_format=self._memory_format)
        try:
            # No module reads this image, only its batch size counts; expanding it takes no memory.
            image_NCHW = activations.new_zeros(()).float().expand(len(activations), 3, self._side, self._side)
            logits_NK: torch.Tensor = self.net(image_NCHW)
        finally:
            self._recall.value = None
        return logits_NK


class _StandIn(nn.Module):
    """Stands in a module's place; the network's own code still finds the module's attributes."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._replaced = (module,)  # in a tuple, so that its parameters are not part of the tail

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self._replaced[0], name)


class _Zeros(_StandIn):
    """Returns zeros in the shape of the module's output."""

    def __init__(self, unit: Unit) -> None:
        super().__init__(unit.module)
        self._shape = unit.output_shape

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        return given.new_zeros(()).expand(len(given), *self._shape)


class _Recall(_StandIn):
    """Returns what was handed over."""

    value: torch.Tensor | None = None

    def forward(self, _given: torch.Tensor) -> torch.Tensor:
        assert self.value is not None
        return self.value


def _with_module(net: nn.Module, name: str, module: nn.Module) -> nn.Module:
    """A network that shares everything with another one but one module and the path to it."""
    first, _, rest = name.partition(".")
    other = copy(net)
    other._modules = dict(net._modules)
    inner = net._modules[first]
    assert inner is not None
    other._modules[first] = _with_module(inner, rest, module) if rest else module
    return other


def _answered(classifier: Classifier, last: str, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits for two images, and the output of the last module before the cut."""
    image_NHWC = torch.arange(2 * side * side * 3, dtype=torch.int64).mul(7).remainder(251).to(torch.uint8)
    found: list[torch.Tensor] = []
    hook = classifier.net.get_submodule(last).register_forward_hook(lambda _m, _i, output: found.append(output))
    try:
        with torch.inference_mode():
            whole_NK = classifier(image_NHWC.reshape(2, side, side, 3))
    finally:
        hook.remove()
    return whole_NK, found[0]


def _format_of(activations: torch.Tensor) -> torch.memory_format:
    """As the network itself hands them over: most convolutional ones have their channels last in memory."""
    last = activations.ndim == 4 and activations.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last and not activations.is_contiguous() else torch.contiguous_format


def _is_same(tail: nn.Module, activations: torch.Tensor, whole_NK: torch.Tensor) -> bool:
    try:
        with torch.inference_mode():
            return torch.allclose(whole_NK, tail(activations), rtol=1e-4, atol=1e-4)
    except (RuntimeError, AttributeError, IndexError, TypeError):  # its code needs what is before the cut
        return False
