"""Several processes that train together, as `torchrun` and `accelerate launch` start them; usually there is one."""

import atexit
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

__all__ = ["Processes", "launched"]

_PATIENCE = timedelta(days=1)
"""How long a process waits for the others: the first may have to scan a large data set."""


@dataclass(frozen=True)
class Processes:
    """The processes of one training. With a single process, every method returns at once."""

    rank: int = 0
    """Number of this process, from 0."""

    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes what the others only read."""
        return self.rank == 0

    def wait(self) -> None:
        """Block until every process has called this method."""
        self.gather(None)

    def agree(self, value: Any) -> Any:
        """The first process's value, in every process."""
        return self.gather(value)[0]

    def gather(self, value: Any) -> list[Any]:
        """Every process's value, by rank, in every process; plain Python values and arrays."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        _group().all_gather_object(values, value)
        return values

    def spread(self, tensors: Iterable[Any]) -> None:
        """Overwrite tensors with those of the first process."""
        if self.count > 1:
            for tensor in tensors:
                _group().broadcast(tensor, 0)


def _group() -> Any:
    import torch
    from accelerate import PartialState

    group = torch.distributed
    if not group.is_initialized():
        # Without `cpu`, the library does not connect processes that have no GPU.
        PartialState(cpu=not torch.cuda.is_available(), timeout=_PATIENCE)
        # Threads of a group that is still open may call into an interpreter that has shut down, and abort the process.
        atexit.register(group.destroy_process_group)
    return group


def launched() -> Processes:
    """The processes that the launcher announced in the environment; a single one without a launcher."""
    return Processes(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))
