"""What a runtime tells about the operators that it executed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Operator", "Profile", "computes"]


@dataclass(frozen=True)
class Operator:
    """One operator, as the runtime names it."""

    name: str
    """Empty where the runtime only tells types."""

    type: str
    computes: str | None
    """`integer` or `float`; None if the runtime does not say."""

    seconds: float | None
    """Time over all profiled runs; None if the runtime tells none."""

    calls: int = 1
    """How often a run executes it: more than once where the runtime adds up several under one heading."""


@dataclass(frozen=True)
class Profile:
    """All operators of a model, in order."""

    operators: list[Operator]
    timed: bool
    """Whether every operator has its seconds."""

    source: str
    """Where the times come from, or why there are none."""


def computes(dtype: str) -> str | None:
    """Say what arithmetic a NumPy type name stands for; None for anything but integers and floats."""
    kinds = {"i": "integer", "u": "integer", "f": "float"}
    try:
        return kinds.get(np.dtype(dtype).kind)
    except TypeError:
        return None
