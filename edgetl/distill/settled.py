"""What a recipe's 'auto' means for the losses of a distillation."""

from dataclasses import dataclass

from edgetl.recipe.networks import DistillConfig, Loss

__all__ = ["FEATURE_LOSSES", "Losses", "losses_of"]

FEATURE_LOSSES: frozenset[Loss] = frozenset({"feature", "crd"})
"""Losses that compare features instead of answers."""

_IN_FULL: dict[Loss, float] = {"kd": 0.9, "hard": 0.1}
_FROM_PROBE: dict[Loss, float] = {"kd": 0.5, "hard": 0.5}


@dataclass(frozen=True)
class Losses:
    """Weights and temperature."""

    weights: dict[Loss, float]
    temperature: float

    @property
    def of_features(self) -> list[Loss]:
        """Those that compare features."""
        return sorted(FEATURE_LOSSES & set(self.weights))


def losses_of(config: DistillConfig, *, from_probe: bool) -> Losses:
    """The recipe's losses; 'auto' depends on where the student starts.

    Args:
        config: Losses and temperature.
        from_probe: Whether the student starts from a fitted head. There the images are few, and half of what it learns
            from are mixes: labels count as much as a teacher that knows the images by heart (docs/transfer.md).
    """
    weights = (_FROM_PROBE if from_probe else _IN_FULL) if config.loss == "auto" else config.loss
    temperature = (2.0 if from_probe else 4.0) if config.temperature == "auto" else config.temperature
    return Losses(weights, temperature)
