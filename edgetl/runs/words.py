"""Numbers as people say them."""

from datetime import timedelta

from edgetl.runs.intervals import accuracy_interval

__all__ = ["accuracy", "accuracy_range", "age", "counted", "duration"]


def counted(count: int, noun: str, several: str = "") -> str:
    """`1 image`, `1,234 images`; `several` is the plural of a noun that has another than with s."""
    return f"{count:,} {noun if count == 1 else several or f'{noun}s'}"


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def age(passed: timedelta) -> str:
    """How long ago something was, in whole units."""
    seconds = max(0.0, passed.total_seconds())
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} s"


def accuracy(top1: float, images: float) -> str:
    """`94.1% (89.2 to 96.9%)`: a fraction of 1 in percent, with its 95 % interval if it was measured on few images."""
    interval = accuracy_range(top1, images)
    return f"{top1:.1%} ({interval})" if interval else f"{top1:.1%}"


def accuracy_range(top1: float, images: float) -> str:
    """The interval alone; empty where `accuracy` has none."""
    interval = accuracy_interval(top1, images)
    return f"{100 * interval[0]:.1f} to {interval[1]:.1%}" if interval else ""
