"""Several processes that train together, as `torchrun` and `accelerate launch` start them; usually there is one."""

import atexit
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

__all__ = ["Processes", "launched"]

_PATIENCE = timedelta(days=1)
"""How long a process waits for the others: the first may have a large data set to look at."""


@dataclass(frozen=True)
class Processes:
    """The processes of one training. With one, every method returns at once."""

    rank: int = 0
    """Which this is, from 0."""

    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes what the others only read."""
        return self.rank == 0

    def wait(self) -> None:
        """Return when every process has come here."""
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
        """Overwrite tensors by those of the first process."""
        if self.count > 1:
            for tensor in tensors:
                _group().broadcast(tensor, 0)


def _group() -> Any:
    import torch
    from accelerate import PartialState

    group = torch.distributed
    if not group.is_initialized():
        # Without `cpu`, the library takes processes without a GPU for strangers to each other.
        PartialState(cpu=not torch.cuda.is_available(), timeout=_PATIENCE)
        # Threads of a group that is not left may call into an interpreter that is gone, and abort the process.
        atexit.register(group.destroy_process_group)
    return group


def launched() -> Processes:
    """What the launcher said in the environment; one process without a launcher."""
    return Processes(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))
