"""Reconstruction: tune biases, steps and weights of a plan together to reproduce the float network's answers.

AdaRound (Nagel et al., 2020, arXiv 2004.10568) reconstructs layer by layer; here the whole network is tuned at once. No
labels are needed.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn

from edgetl.quantize.graph import Layer
from edgetl.quantize.plan import Plan, Simulation
from edgetl.quantize.trainable import TrainablePlan
from edgetl.quantize.widths import Width

__all__ = ["reconstruct"]

_BATCH_PIXELS = 16 * 224 * 224
_LARGEST_BATCH = 32
_BIAS_RATE, _STEP_RATE, _WEIGHT_RATE = 0.02, 2e-3, 3e-3
"""Learning rates: of biases in steps of the layer's output, of steps in their logarithm, of weights in their steps."""


def reconstruct(
    graph: fx.GraphModule,
    plan: Plan,
    width: Callable[[Layer], Width],
    images_NHWC: NDArray[np.uint8],
    *,
    steps: int,
    seed: int,
    advance: Callable[[], None] = lambda: None,
) -> Plan:
    """Tune a plan.

    Args:
        graph: The graph that the plan belongs to.
        plan: The start.
        width: Bounds on the weights.
        images_NHWC: Images, `(N, H, W, 3)`; each step uses a random part of them, slightly shifted.
        steps: Optimizer steps.
        seed: Seeds the choice of images.
        advance: Called after each step.
    """
    height, wide = images_NHWC.shape[1:3]
    batch = min(_LARGEST_BATCH, len(images_NHWC), max(2, _BATCH_PIXELS // (height * wide)))
    floats, tuned = Simulation(graph, Plan({}, {})), TrainablePlan(graph, plan, width, learn_steps=True)
    optimizer = torch.optim.Adam(_groups(tuned), betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    random = np.random.default_rng(seed)
    for _ in range(steps):
        picks = random.choice(len(images_NHWC), batch, replace=False)
        images = torch.from_numpy(_shifted(images_NHWC[picks], random))
        with torch.no_grad():
            wanted_NK = floats.run(images)
        loss = nn.functional.kl_div(tuned(images), wanted_NK, reduction="batchmean")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        advance()
    return tuned.finished()


def _groups(tuned: TrainablePlan) -> list[dict[str, object]]:
    """Parameters with their learning rates."""
    groups: list[dict[str, object]] = [{"params": list(tuned.steps.values()), "lr": _STEP_RATE}]
    for name, weight_step, output_step in tuned.layers_with_steps():
        groups.append({"params": [tuned.biases[name]], "lr": _BIAS_RATE * output_step})
        groups.append({"params": [tuned.weights[name]], "lr": _WEIGHT_RATE * weight_step})
    return groups


def _shifted(images_NHWC: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """The images shifted by up to a sixteenth of the side, with repeated edges."""
    height, width = images_NHWC.shape[1:3]
    down, right = (int(random.integers(-(side // 16), side // 16 + 1)) for side in (height, width))
    rows = (np.arange(height) + down).clip(0, height - 1)
    return images_NHWC[:, rows][:, :, (np.arange(width) + right).clip(0, width - 1)]
