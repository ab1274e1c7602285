"""Numbers as people read them."""

from edgetl.runs.intervals import accuracy_interval

__all__ = [
    "accuracy",
    "accuracy_range",
    "file_size",
    "milliseconds",
    "percent",
    "points",
    "probability_difference",
    "seconds",
]

_THIN = "\u202f"
"""A narrow space that keeps a number and its unit on one line."""


def percent(fraction: float, digits: int = 2) -> str:
    """`0.9852` as `98.52 %`."""
    return f"{100 * fraction:.{digits}f}{_THIN}%"


def accuracy(top1: float, images: int) -> str:
    """`94.12 % (89.2 to 96.9 %)`: in percent, with its 95 % interval if it was measured on few images."""
    interval = accuracy_range(top1, images)
    return f"{percent(top1)} ({interval})" if interval else percent(top1)


def accuracy_range(top1: float, images: int) -> str:
    """The interval alone; empty where `accuracy` has none."""
    interval = accuracy_interval(top1, images)
    return f"{100 * interval[0]:.1f} to {percent(interval[1], 1)}" if interval else ""


def points(fraction: float) -> str:
    """A loss of top-1 in percentage points, `0.0037` as `0.37`; a gain has a minus."""
    text = f"{100 * fraction:.2f}"
    return "0.00" if text == "-0.00" else text.replace("-", "\u2212")


def milliseconds(value_ms: float) -> str:
    """Three significant digits, `1.2345` as `1.23 ms`; whole milliseconds from 100 on."""
    return f"{_three_digits(value_ms)}{_THIN}ms"


def file_size(size_bytes: int) -> str:
    """Decimal units, `2791216` as `2.79 MB`."""
    if size_bytes < 1000:
        return f"{size_bytes}{_THIN}B"
    value, unit = (size_bytes / 1e3, "kB") if size_bytes < 999_500 else (size_bytes / 1e6, "MB")
    return f"{_three_digits(value)}{_THIN}{unit}"


def probability_difference(value: float) -> str:
    """Two significant digits, `0.00000123` as `1.2e-6`, so that rounding noise and real differences look different."""
    if value == 0:
        return "0"
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{value:.2g}" if value >= 1e-3 else f"{mantissa}e{int(exponent)}"


def seconds(value_s: float) -> str:
    """`3.24` as `3.2 s`, `754` as `12 min 34 s`, `7500` as `2 h 05 min`."""
    if value_s < 60:
        return f"{value_s:.1f}{_THIN}s"
    whole = round(value_s)
    if whole < 3600:
        return f"{whole // 60}{_THIN}min {whole % 60:02d}{_THIN}s"
    return f"{whole // 3600}{_THIN}h {whole % 3600 // 60:02d}{_THIN}min"


def _three_digits(value: float) -> str:
    digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2 if value >= 0.9995 else 3
    return f"{value:.{digits}f}"
