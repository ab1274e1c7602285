"""What quantization-aware training costs: a step of it beside a float step of the same network, and getting ready.

Steps take turns in one process. Writes `benchmarks/results/qat-MACHINE.json`.

- step: forward, backward and optimizer, on labels; the network with its roundings over the one that was trained.
- prepare: seconds from the trained network to the first step: tracing, folding, and a plan of 32 images.

Run: `python benchmarks/qat.py [--rounds N]`.
"""

import argparse
import time

import numpy as np
import torch
from results import write_result
from steps import ratio

from edgetl.data.dataset import Batch
from edgetl.quantize.planner import Planner
from edgetl.quantize.sweep import SweepSettings
from edgetl.quantize.trainable import TrainablePlan
from edgetl.quantize.widths import paired_width
from edgetl.recipe.networks import StudentConfig
from edgetl.runner.contract import Contract
from edgetl.runs.quiet import quiet
from edgetl.train.labels import FromLabels
from edgetl.train.memory import kept_memory
from edgetl.train.optimizer import make_optimizer
from edgetl.train.trainee import Trainee
from edgetl.zoo.build import build_classifier
from edgetl.zoo.classifier import Classifier
from edgetl.zoo.deployable import Deployable

_CLASSES, _BATCH, _CALIBRATION = 10, 32, 32
_CASES = (("mobilenetv2", 224), ("mobilenetv3_small", 224), ("efficientnet_b0", 128))
_LIMITS = {"step_to_float": 2.0, "prepare_seconds": 10.0}


class Steps:
    """A network that takes optimizer steps on one batch."""

    def __init__(self, network: torch.nn.Module, side: int, config: StudentConfig) -> None:
        rng = np.random.default_rng(0)
        images_NHWC = torch.from_numpy(rng.integers(0, 256, (_BATCH, side, side, 3), np.uint8))
        labels_N = torch.arange(_BATCH) % _CLASSES
        self._batch = Batch(images_NHWC, labels_N, torch.arange(_BATCH), 0, 0, labels_N, torch.zeros(_BATCH))
        self._trainee = Trainee(network, FromLabels(0.0), side).train()
        self._optimizer = make_optimizer(self._trainee, config, 1e-4)

    def step(self) -> None:
        """One of them."""
        self._optimizer.zero_grad()
        self._trainee(self._batch).backward()
        self._optimizer.step()


def main() -> None:
    """Measure, and write the result down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="pairs of steps (default 20)")
    asked = parser.parse_args()
    steps, seconds = {}, {}
    for model, side in _CASES:
        config = StudentConfig(model=model, weights="none")
        classifier, _ = build_classifier(config, _CLASSES, side, seed=0)
        network, took_s = _prepared(config, side)
        seconds[model] = round(took_s, 1)
        aware, plain = Steps(network, side, config), Steps(classifier, side, config)
        with kept_memory():
            steps[f"{model} at {side} px"] = ratio(aware.step, plain.step, asked.rounds)
    reached = {"step_to_float": steps, "prepare_seconds": seconds}
    write_result("qat", {"reached": reached, "limits": _LIMITS, "batch_size": _BATCH})


def _prepared(config: StudentConfig, side: int) -> tuple[TrainablePlan, float]:
    """A network with its roundings, and the seconds that it took from the trained one."""
    classifier, _ = build_classifier(config, _CLASSES, side, seed=0)
    contract = Contract(tuple(map(str, range(_CLASSES))), side, side, resize="crop")
    images_NHWC = np.random.default_rng(0).integers(0, 256, (_CALIBRATION, side, side, 3), np.uint8)
    _settle(classifier, images_NHWC)
    deployable = Deployable(classifier).to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    start = time.perf_counter()
    with quiet():
        planner = Planner(deployable, contract, images_NHWC)
    plan = planner.plan(SweepSettings(paired_width))
    network = TrainablePlan(planner.graph_of(plan), plan, paired_width, learn_steps=False)
    return network, time.perf_counter() - start


def _settle(classifier: Classifier, images_NHWC: np.ndarray) -> None:  # type: ignore[type-arg]
    """Give the norms of random weights statistics of their inputs."""
    with torch.no_grad():
        for _ in range(3):
            classifier.train()(torch.from_numpy(images_NHWC))
    classifier.eval()


if __name__ == "__main__":
    main()
