"""Low-rank updates of linear layers, by peft: in a network while it is trained, added to its weights in the end."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from edgetl.runs.quiet import quiet

__all__ = ["ALPHA", "adapted", "plain_state"]

ALPHA = 2
"""Alpha of the paper, in units of the rank: the factor of an update."""


@contextmanager
def adapted(net: nn.Module, products: Sequence[str], head: nn.Module, *, rank: int, seed: int) -> Iterator[int]:
    """Give linear layers low-rank updates while inside; these and the head alone can be trained then.

    Args:
        net: The network; changed in place. If the body raises, it keeps the updates.
        products: Names of the layers.
        head: Its last layer, with a hidden one if it has that.
        rank: Columns of the updates.
        seed: Seeds the updates, which have no effect at first.

    Yields:
        Number of trained parameters.
    """
    with quiet():  # what peft imports complains about what it does not find
        from peft import LoraConfig, LoraModel

        torch.manual_seed(seed)
        config = LoraConfig(r=rank, lora_alpha=ALPHA * rank, target_modules=list(products))
        tuner = LoraModel(net, config, "default")
    for parameter in head.parameters():
        parameter.requires_grad_(True)
    yield sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)
    tuner.merge_and_unload()
    for parameter in net.parameters():
        parameter.requires_grad_(True)


def plain_state(net: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors of a network, with low-rank updates added to its weights where it has some at the moment."""
    state = net.state_dict()
    changed = {name: module for name, module in net.named_modules() if hasattr(module, "get_delta_weight")}
    for name, module in changed.items():
        state[f"{name}.base_layer.weight"] = module.base_layer.weight + module.get_delta_weight("default")
    own = {name: value for name, value in state.items() if ".lora_" not in name} if changed else state
    return {name.replace(".base_layer.", "."): value.detach() for name, value in own.items()} if changed else own
