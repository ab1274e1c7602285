"""Numbers as people say them."""

__all__ = ["duration"]


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"
