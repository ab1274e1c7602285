"""Whether a batch fits in memory: estimated before a training starts, and said in one line with a batch that fits.

On Linux, a step that takes too much memory of a CPU ends in the death of the process, without a word. So what the
backward pass keeps of two images is measured, and multiplied. What is refused nevertheless, as on a GPU, is caught.
"""

import gc
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch

from edgetl.devices.ram import available_bytes
from edgetl.errors import ConfigError
from edgetl.recipe.networks import ModelConfig
from edgetl.runs.processes import Processes

__all__ = ["Footprint", "check_batch", "footprint", "guarded"]

_MEASURED = 2
"""Images that are measured; batch norm takes no single one."""

_SLACK = 1.15
"""Least memory of a step on a CPU, as a factor of what the backward pass keeps: measured were 1.13 (EfficientNet-Lite2)
to 1.86 (ResNet-18; 2.05 for timm's test_resnet), as blocks of many sizes leave gaps. Refused is what does not even fit
with the least."""

_AMPLE_SLACK = 2.0
"""The same for a batch that is recommended."""

_MOST_PER_INPUT = 1000
"""Bytes that the backward pass keeps for a byte of the float input, at most; usual are 120 to 200."""

_SLOTS = {"adamw": 2, "sgd": 1}
"""Tensors that the optimizer keeps of each parameter."""


@dataclass(frozen=True)
class Footprint:
    """Memory of a training step."""

    image_bytes: float
    """Kept by the backward pass, per image."""

    fixed_bytes: int
    """Gradients and the optimizer's state."""

    def needed(self, images: int, slack: float = 1.0) -> float:
        """Bytes for a number of images that are computed at once."""
        return slack * images * self.image_bytes + self.fixed_bytes


def footprint(network: torch.nn.Module, images: torch.Tensor, config: ModelConfig, *, half: bool) -> Footprint:
    """Measure what a backward pass keeps of some images; the network stays as it is.

    Args:
        network: In the mode in which it is trained.
        images: What it takes, at least two; on its device.
        config: Its optimizer.
        half: Whether it computes in bf16.
    """
    trained = [value for value in network.parameters() if value.requires_grad]
    own = {value.untyped_storage().data_ptr() for value in network.parameters()}
    kept: dict[int, int] = {}

    def note(value: torch.Tensor) -> torch.Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return value

    buffers = {name: value.clone() for name, value in network.named_buffers()}  # batch norm writes into these
    hooks = torch.autograd.graph.saved_tensors_hooks(note, lambda value: value)
    with torch.enable_grad(), hooks, torch.autocast(images.device.type, torch.bfloat16, enabled=half):
        answers = torch.func.functional_call(network, buffers, (images,))
        del answers
    fixed = (1 + _SLOTS[config.optimizer]) * sum(value.nbytes for value in trained)
    return Footprint(sum(kept.values()) / len(images), fixed)


def check_batch(
    network: torch.nn.Module,
    image: torch.Tensor,
    config: ModelConfig,
    *,
    images: int,
    section: Literal["teacher", "student"],
    processes: Processes,
    half: bool,
) -> None:
    """Refuse a batch that cannot fit, before the system kills this process for it.

    Args:
        network: In the mode in which it is trained, on its device.
        image: One of its inputs, on the same device; its values do not matter.
        config: Batch size and optimizer.
        images: Images that all processes compute at once.
        section: Section of the recipe.
        processes: Those that share a batch.
        half: Whether it computes in bf16.

    Raises:
        ConfigError: The batch does not fit; the message names the largest power of two that does.
    """
    free, here = _free_bytes(image.device), _processes_here(image.device, processes)
    share = -(-images // processes.count)
    if here * share * image.numel() * 4 * _MOST_PER_INPUT < free:
        return
    found = footprint(network, image.expand(_MEASURED, *image.shape).contiguous(), config, half=half)
    wanted = here * found.needed(share, _SLACK if image.device.type == "cpu" else 1.0)
    largest = next(
        (
            size
            for size in _smaller(images, processes)
            if here * found.needed(size // processes.count, _AMPLE_SLACK) <= free
        ),
        0,
    )
    # Each process measures a little differently, and all must go the same way.
    if problem := processes.agree(_problem(images, wanted, free) if wanted > free else ""):
        raise _too_large(problem, processes.agree(largest), config, section)


def guarded(
    step: Callable[[], torch.Tensor],
    attempt: Callable[[int], None],
    config: ModelConfig,
    *,
    images: int,
    section: Literal["teacher", "student"],
    processes: Processes,
) -> torch.Tensor:
    """Take a step; if memory is refused, find a batch that fits by trying.

    Args:
        step: What to do.
        attempt: Computes forward and backward for a number of images of this process.
        config: Batch size.
        images: Images that all processes compute at once.
        section: Section of the recipe.
        processes: Those that share a batch.

    Raises:
        ConfigError: Memory was refused; the message names the largest power of two that was tried with success.
    """
    try:
        return step()
    except (RuntimeError, MemoryError) as cause:
        if not _is_refusal(cause):
            raise
    # Outside of the handler, as the traceback holds the tensors of the step that failed.
    largest = next((size for size in _smaller(images, processes) if _fits(attempt, size // processes.count)), 0)
    raise _too_large(f"{images} images do not fit in memory", largest, config, section)


def _fits(attempt: Callable[[int], None], images: int) -> bool:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    try:
        attempt(images)
    except (RuntimeError, MemoryError) as cause:
        if not _is_refusal(cause):
            raise
        return False
    return True


def _is_refusal(cause: BaseException) -> bool:
    refused = "DefaultCPUAllocator: can't allocate memory"  # a plain RuntimeError
    return isinstance(cause, torch.OutOfMemoryError | MemoryError) or refused in str(cause)


def _smaller(images: int, processes: Processes) -> Iterator[int]:
    """Smaller batches, powers of two, that the processes can share evenly with two images each; largest first."""
    exponents = range((images - 1).bit_length() - 1, 0, -1)
    yield from (2**each for each in exponents if 2**each % processes.count == 0 and 2**each >= 2 * processes.count)


def _free_bytes(device: torch.device) -> int:
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available_bytes()


def _processes_here(device: torch.device, processes: Processes) -> int:
    """Processes that take their memory from the same place."""
    return 1 if device.type == "cuda" else int(os.environ.get("LOCAL_WORLD_SIZE", processes.count))


def _problem(images: int, wanted: float, free: int) -> str:
    return f"{images} images need about {wanted / 1e9:,.1f} GB of memory, and {free / 1e9:,.1f} GB are available"


def _too_large(problem: str, largest: int, config: ModelConfig, section: Literal["teacher", "student"]) -> ConfigError:
    field = f"{section}.batch_size"
    if not largest:
        return ConfigError(field, problem, hint="No smaller batch fits either: choose a smaller network or image size.")
    parts = -(-config.batch * config.accumulate // largest)
    return ConfigError(
        field, problem, hint=f"{largest} fit: --set {field}={largest} --set {section}.accumulate={parts}"
    )
