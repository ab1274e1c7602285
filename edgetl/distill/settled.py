"""What a recipe's 'auto' means for the losses of a distillation."""

from dataclasses import dataclass

from edgetl.recipe.networks import DistillConfig, Loss

__all__ = ["FEATURE_LOSSES", "Losses", "losses_of"]

FEATURE_LOSSES: frozenset[Loss] = frozenset({"feature", "crd"})
"""Losses that compare features instead of answers."""

_USUAL: dict[Loss, float] = {"kd": 0.9, "hard": 0.1}
_TEMPERATURE = 4.0


@dataclass(frozen=True)
class Losses:
    """Weights and temperature."""

    weights: dict[Loss, float]
    temperature: float

    @property
    def of_features(self) -> list[Loss]:
        """Those that compare features."""
        return sorted(FEATURE_LOSSES & set(self.weights))


def losses_of(config: DistillConfig) -> Losses:
    """The recipe's losses, with what 'auto' means."""
    weights = _USUAL if config.loss == "auto" else config.loss
    return Losses(weights, _TEMPERATURE if config.temperature == "auto" else config.temperature)
