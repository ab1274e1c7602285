"""Batch norms with fixed statistics as part of the convolutions before them, while a network runs without learning.

Such a norm is a scale and a shift for each channel. Multiplied into the filters, it costs nothing; as an operation of
its own it reads and writes every activation (Jacob et al., arXiv 1712.05877, section 3.2).

Not for training: the gradients are the same in theory, but where a channel hardly varies, that of its scale is a
difference of large numbers, and Adam makes full steps of the rounding that is left. It may be why a MobileNetV2 with 50
CIFAR images a class lost 4 points of top-1 when trained so (72.7 against 76.7, one try each).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

__all__ = ["folded_norms"]

_Pair = tuple[nn.Conv2d, nn.BatchNorm2d]


@contextmanager
def folded_norms(network: nn.Module, example: torch.Tensor) -> Iterator[int]:
    """Compute each batch norm within the convolution before it, while inside.

    What is left as it is: norms that do not directly follow a convolution, and whole networks whose answers would
    change, such as those whose convolutions do something else with their filters.

    Args:
        network: Its weights and statistics must stay as they are while inside, and on their device.
        example: An input for one image or more.

    Yields:
        Norms that are folded.
    """
    was_training = network.training
    network.eval()
    pairs, plain = _pairs(network, example)
    with ExitStack() as undo:
        for conv, norm in pairs:
            undo.enter_context(_folded(conv, norm))
        with torch.no_grad():
            same = torch.allclose(network(example), plain, rtol=1e-3, atol=1e-3)
        if not same:
            undo.close()
        network.train(was_training)
        yield len(pairs) if same else 0


def _pairs(network: nn.Module, example: torch.Tensor) -> tuple[Sequence[_Pair], torch.Tensor]:
    """Convolutions, each with the norm that alone reads its output; and the network's answer."""
    convs: list[tuple[nn.Conv2d, torch.Tensor]] = []
    pairs: list[_Pair] = []
    calls: dict[nn.Module, int] = {}

    def heard(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        calls[module] = calls.get(module, 0) + 1
        if isinstance(module, nn.Conv2d):
            convs.append((module, output))
        elif convs and convs[-1][1] is inputs[0]:
            assert isinstance(module, nn.BatchNorm2d)
            pairs.append((convs[-1][0], module))

    kinds = [module for module in network.modules() if isinstance(module, nn.Conv2d) or _is_known(module)]
    handles = [module.register_forward_hook(heard) for module in kinds]
    try:
        with torch.no_grad():
            answer = network(example)
    finally:
        for handle in handles:
            handle.remove()
    return [pair for pair in pairs if calls[pair[0]] == calls[pair[1]] == 1], answer


def _is_known(module: nn.Module) -> bool:
    """A batch norm whose statistics are fixed in eval mode; timm's has the activation within."""
    return type(module).__name__ in {"BatchNorm2d", "BatchNormAct2d"} and getattr(module, "affine", False)


@contextmanager
def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> Iterator[None]:
    assert norm.running_var is not None
    assert norm.running_mean is not None
    with torch.no_grad():
        scale_C = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        shift_C = norm.bias - norm.running_mean * scale_C
        # Found before the parameters, whatever the convolution's own code does with its filters and padding.
        folded = {
            "weight": conv.weight * scale_C[:, None, None, None],
            "bias": shift_C if conv.bias is None else shift_C + conv.bias * scale_C,
        }
    conv.__dict__.update(folded)
    norm.__dict__["forward"] = _rest_of(norm)
    try:
        yield
    finally:
        for name in folded:
            del conv.__dict__[name]
        del norm.__dict__["forward"]


def _rest_of(norm: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """What a norm does beside normalising."""
    if type(norm).__name__ == "BatchNorm2d":
        return lambda activations: activations
    drop, act = norm.get_submodule("drop"), norm.get_submodule("act")

    def rest(activations: torch.Tensor) -> torch.Tensor:
        done: torch.Tensor = act(drop(activations))
        return done

    return rest
