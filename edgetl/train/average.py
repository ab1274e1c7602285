"""A moving average of the weights, which is often better than any of them."""

import torch
from torch import nn

__all__ = ["WeightAverage"]


class WeightAverage:
    """An exponential moving average of a module's parameters and buffers.

    Polyak and Juditsky (1992), in the form of EfficientNet's training: the decay starts low, `(1 + n) / (10 + n)` after
    n updates, so that a short training does not keep its random start.

    Args:
        module: What is averaged.
        decay: What is kept of the average at each update, 0 to 1.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._module = module
        self._decay = decay
        self._updates = 0
        self._state = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the module's state as it is now; whole numbers (counters) are copied."""
        self._updates += 1
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        now = self._module.state_dict()
        moving = [name for name, value in now.items() if value.is_floating_point()]
        torch._foreach_lerp_([self._state[n] for n in moving], [now[n] for n in moving], 1 - decay)
        for name in now.keys() - set(moving):
            self._state[name].copy_(now[name])

    def exchange(self) -> None:
        """Give the module the average and keep what it had; a second call undoes the first."""
        held = {name: value.detach().clone() for name, value in self._module.state_dict().items()}
        self._module.load_state_dict(self._state)
        self._state = held

    def tensors(self) -> dict[str, torch.Tensor]:
        """All that a checkpoint needs."""
        return self._state | {"updates": torch.tensor(self._updates)}

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Go on from what `tensors` gave."""
        self._updates = int(tensors["updates"])
        for name, value in self._state.items():
            value.copy_(tensors[name])
