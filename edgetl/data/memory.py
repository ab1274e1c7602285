"""Memory for decoding: a file of two kilobytes may claim as many pixels as fill the machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from edgetl.devices.ram import available_bytes
from edgetl.runner.contract import UnreadableImage

__all__ = ["DecodingMemory"]

_PIXEL_BYTES = 10
"""What a pixel takes while it is decoded, turned upright and converted: three copies of three bytes."""

_PART = 0.5
"""Part of the free memory that is used."""


class DecodingMemory:
    """What images may take that are decoded at the same time."""

    def __init__(self, total_bytes: int | None = None) -> None:
        self._total_bytes = int(_PART * available_bytes()) if total_bytes is None else total_bytes
        self._free_bytes = self._total_bytes
        self._freed = Condition()

    @contextmanager
    def for_pixels(self, width: int, height: int) -> Iterator[None]:
        """Wait until there is room for an image, and keep it while inside.

        Raises:
            UnreadableImage: It does not fit even alone.
        """
        needed_bytes = _PIXEL_BYTES * width * height
        if needed_bytes > self._total_bytes:
            needed, free = (f"{each / 1e9:.1f} GB" for each in (needed_bytes, self._total_bytes))
            raise UnreadableImage(f"has {width:,} x {height:,} pixels, which take {needed} to decode; {free} are free")
        with self._freed:
            self._freed.wait_for(lambda: self._free_bytes >= needed_bytes)
            self._free_bytes -= needed_bytes
        try:
            yield
        finally:
            with self._freed:
                self._free_bytes += needed_bytes
                self._freed.notify_all()
