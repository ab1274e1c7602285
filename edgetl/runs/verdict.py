"""How much accuracy a file may lose, and the verdict on it: one rule for quantization and for the proof."""

from dataclasses import dataclass
from typing import Literal

from edgetl.recipe.fields import Recipe

__all__ = ["TELLING", "Limits", "Status", "Verdict"]

Status = Literal["PASS", "FAIL", "INCONCLUSIVE"]

TELLING = 5
"""Images that a limit on the drop must be worth to say something by itself; with fewer, luck decides."""

_ROUNDING = 1e-9
"""Fractions computed from the same counts may differ by this much."""


@dataclass(frozen=True)
class Verdict:
    """A status and its reasons."""

    status: Status
    reasons: tuple[str, ...] = ()
    """With numbers; empty if it passed."""

    @classmethod
    def of(cls, failures: tuple[str, ...] | list[str], doubts: tuple[str, ...] | list[str] = ()) -> "Verdict":
        """FAIL if there are failures; INCONCLUSIVE if there are doubts, but no failures; else PASS."""
        if failures:
            return cls("FAIL", tuple(failures))
        return cls("INCONCLUSIVE", tuple(doubts)) if doubts else cls("PASS")

    @property
    def passed(self) -> bool:
        """Whether it is PASS."""
        return self.status == "PASS"


@dataclass(frozen=True)
class Limits:
    """How much an artifact in fewer bits than float may lose against the trained network."""

    max_drop: float
    """Largest loss of top-1, as a fraction of 1."""

    max_flips: float
    """Fraction of the images whose best class may change."""

    @classmethod
    def of(cls, recipe: Recipe) -> "Limits":
        """The recipe's."""
        return cls(recipe.quantize.max_drop, recipe.quantize.max_flips)

    def excess(self, drop: float, flips: float, *, margin: float = 0.0) -> float:
        """By how much the drop and the flips exceed their limits, in sum; 0 if neither does.

        Args:
            drop: Loss of top-1, as a fraction of 1.
            flips: Fraction of the images whose best class changes.
            margin: Added to the drop, for an estimate that may be too low.
        """
        over = (drop + margin - self.max_drop, flips - self.max_flips)
        return sum(each for each in over if each > _ROUNDING)

    def failures(self, drop: float, flips: float) -> list[str]:
        """Which limits are exceeded, with numbers; empty if none is."""
        found = []
        if drop > self.max_drop + _ROUNDING:
            found.append(f"top-1 drops by {drop:.2%} (allowed: {self.max_drop:.2%})")
        if flips > self.max_flips + _ROUNDING:
            found.append(f"{flips:.2%} of the answers change (allowed: {self.max_flips:.2%})")
        return found
